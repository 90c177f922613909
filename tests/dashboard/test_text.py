"""Text of a trace as Streamlit shows it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.dashboard.data import results_of_calls, unknown_tools
from flashtrace_agent.dashboard.text import call_text, clip, duration, plain, pretty
from flashtrace_agent.message import ToolCall

from .agent_run import START, build_run


@pytest.mark.parametrize(
    "text",
    [
        "![x](https://example.com/x.png)",
        "<img src=x>",
        "**bold**",
        ":red[x]",
        ":material/home:",
        "$x^2$",
        "`c`",
    ],
)
def test_plain_disarms_markdown(text: str) -> None:
    """No Markdown of a model survives: every mark it is made of is escaped."""
    for mark in "![](<*:`$":
        assert plain(text).count(mark) == plain(text).count("\\" + mark)


@given(st.text())
def test_plain_keeps_the_words(text: str) -> None:
    """Taking the backslashes of escapes away gives the text back, on one line."""
    import re

    assert re.sub(r"\\([^\w\s]|_)", r"\1", plain(text)) == " ".join(text.split())


@pytest.mark.parametrize(("seconds", "shown"), [(0.05, "50 ms"), (1.9, "1.9 s"), (75, "75.0 s")])
def test_duration_has_a_unit(seconds: float, shown: str) -> None:
    """Short times are in milliseconds, long ones in seconds; a running step has none."""
    assert duration(START, START + timedelta(seconds=seconds)) == shown
    assert duration(START, None) == ""


def test_call_reads_like_code() -> None:
    """Arguments that parsed are written as pairs, others as they came."""
    assert call_text(ToolCall("1", "f", {"a": "x", "b": 2})) == 'f(a="x", b=2)'
    assert call_text(ToolCall("1", "f", "{broken")) == "f({broken)"


def test_pretty_indents_only_objects_and_lists() -> None:
    """A number or a sentence stays as it is."""
    assert pretty('{"a":1}') == ('{\n  "a": 1\n}', "json")
    assert pretty("7") == ("7", None)
    assert pretty("not json") == ("not json", None)


def test_clip_keeps_one_line() -> None:
    """Long text is cut with an ellipsis."""
    assert clip("a\nb", 10) == "a b"
    assert clip("abcdef", 4) == "abc…"


def test_results_are_matched_within_the_round() -> None:
    """Call ids repeat between rounds: a result belongs to the step that caused it."""
    trace = build_run().trace
    again = build_run(2).trace.steps
    again[1].result = "second"
    trace.steps += again
    first, tool, *_ = trace.steps
    assert results_of_calls(trace, first) == {"call_0": tool}
    assert results_of_calls(trace, again[0]) == {"call_0": again[1]}


def test_results_without_parent_are_those_before_the_next_model_step() -> None:
    """Where the recorder knew no parents the order decides."""
    trace = build_run().trace
    first, tool, last = trace.steps
    tool.parent_id = None
    assert results_of_calls(trace, first) == {"call_0": tool}
    assert results_of_calls(trace, last) == {}


def test_unknown_tools_need_an_offer() -> None:
    """A call counts as unknown only where tools were offered at all."""
    step = build_run().trace.steps[0]
    call = ToolCall("1", "sofas", {})
    assert unknown_tools(step, [call, call]) == ["sofas"]
    step.tools = []
    assert unknown_tools(step, [call]) == []
