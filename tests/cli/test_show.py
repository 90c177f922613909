"""``show`` tells a run's story to people and to scripts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flashtrace_agent.cli.trace_tree import results_by_call
from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace

from .conftest import Run

STEP_KEYS = [
    "id",
    "kind",
    "name",
    "parent_id",
    "status",
    "error",
    "input",
    "output",
    "reasoning",
    "tool_calls",
    "tool_call_id",
    "result",
    "fidelity",
    "fidelity_reason",
    "tokens",
    "attributions",
]


def test_json_has_the_promised_keys(run: Run, trace: Trace) -> None:
    """Scripts rely on them."""
    shown = json.loads(run("show", trace.id, "--json").stdout)
    assert list(shown) == ["id", "name", "status", "session", "metadata", "steps", "annotations"]
    asking, tool, answering = shown["steps"]
    assert list(asking) == list(tool) == STEP_KEYS
    assert (asking["kind"], asking["fidelity"], asking["tokens"]) == ("model", "exact", 100)
    assert asking["input"][1] == {"role": "user", "content": "How many sofas?"}
    assert asking["reasoning"] == "The user asks\n  for sofas."
    assert asking["tool_calls"][0] == {
        "id": "call_0",
        "name": "sofas",
        "arguments": {"colour": "red", "limit": 3},
    }
    assert (tool["kind"], tool["parent_id"], tool["tool_call_id"]) == ("tool", asking["id"], "call_0")
    assert (tool["output"], tool["tool_calls"], tool["tokens"]) == (None, [], None)
    assert (answering["tokens"], answering["attributions"]) == (107, [])
    (attribution,) = asking["attributions"]
    assert (attribution["target"], attribution["method"], attribution["hops"]) == (
        "tool_name",
        DEFAULT_METHOD,
        1,
    )
    assert attribution["check"] is None
    assert attribution["segments"][0] == {"name": "user", "share": pytest.approx(0.41, abs=0.001)}


def test_the_tree_tells_what_happened_and_why(run: Run, trace: Trace) -> None:
    """Steps in order, calls with arguments and results, the error, the answer, the shares."""
    lines = [line.lstrip("│├└─ ") for line in run("show", trace.id[:12]).stdout.splitlines()]
    asking, tool, answering = trace.steps
    assert lines == [
        f"furniture  {trace.id}  error · 2025-03-01 12:00 UTC · 3 steps · session s1 · demo",
        f"1 model SmolLM2  {asking.id}  ok · 100 tokens · exact ids",
        "reasoning The user asks for sofas.",
        'calls sofas(colour="red", limit=3) → error: no tool is named sofas',
        "calls mirrors({half) → 3 [31mmirrors",
        "why tool_name `sofas` ← user 41 %, tool_schema:sofas 38 %, example:2 21 %",
        f"2 tool sofas  {tool.id}  error",
        'arguments colour="red", limit=3',
        "error: no tool is named sofas",
        f"3 model SmolLM2  {answering.id}  ok · 107 tokens · approximate ids",
        "answer There are [bold]7[/bold] sofas.",
    ]


def test_without_an_id_the_newest_is_shown(run: Run, trace: Trace, store_url: str) -> None:
    """And an empty store says how to fill it."""
    with Store(store_url) as store:
        store.write_trace(replace(trace, id="7" + trace.id[1:], name="later", steps=[]))
    assert run("show").stdout.startswith("later")
    run("delete", "--where", "before 0s", "--yes")
    outcome = run("show")
    assert (outcome.exit_code, "no traces yet" in outcome.stderr) == (1, True)


@pytest.mark.parametrize("name", ["number", "id"])
def test_one_step_by_number_or_id(run: Run, trace: Trace, name: str) -> None:
    """The number is the one the tree shows."""
    wanted = "2" if name == "number" else trace.steps[1].id
    (step,) = json.loads(run("show", trace.id, "--step", wanted, "--json").stdout)["steps"]
    assert step["id"] == trace.steps[1].id
    assert "2 tool sofas" in run("show", trace.id, "--step", wanted).stdout


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("9", "has no step '9': give a number from 1 to 3"),
        ("zzz", "has no step 'zzz'"),
        ("", "has no step ''"),
        ("01", "'01' is the beginning of several step ids"),
    ],
)
def test_a_step_that_is_none_or_several(run: Run, trace: Trace, wanted: str, sentence: str) -> None:
    """The sentence says what to give."""
    result = run("show", trace.id, "--step", wanted)
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_a_page_of_the_attributions(run: Run, trace: Trace, tmp_path: Path) -> None:
    """Written where asked, and said so."""
    page = tmp_path / "page.html"
    result = run("show", trace.id, "--html", str(page))
    assert (result.exit_code, result.stdout) == (0, f"Wrote {page}\n")
    assert "<html" in page.read_text(encoding="utf-8")


def test_a_page_of_nothing_says_how_to_attribute(run: Run, trace: Trace, tmp_path: Path) -> None:
    """A step without attributions makes no page."""
    page = tmp_path / "page.html"
    result = run("show", trace.id, "--step", "3", "--html", str(page))
    assert result.exit_code == 1
    assert f"run `flashtrace-agent attribute {trace.id}` first" in result.stderr
    assert not page.exists()


def test_a_page_that_cannot_be_written(run: Run, trace: Trace, tmp_path: Path) -> None:
    """The sentence names the file."""
    result = run("show", trace.id, "--html", str(tmp_path))
    assert result.exit_code == 1
    assert f"Error: {tmp_path} cannot be written" in result.stderr


def test_a_run_without_steps_is_shown(run: Run, trace: Trace, store_url: str) -> None:
    """A run that died before its first call, with its error."""
    lonely = replace(trace, id="7" + trace.id[1:], steps=[], error="interrupted", session=None, tags=[])
    with Store(store_url) as store:
        store.write_trace(lonely)
    output = run("show", lonely.id).stdout
    assert "0 steps" in output
    assert "interrupted" in output
    assert "no steps were recorded" in output


def test_what_a_failed_tool_told_the_model_is_shown_once(run: Run, trace: Trace, store_url: str) -> None:
    """Frameworks hand the error to the model as the result."""
    told = "sofas is not a valid tool"
    with Store(store_url) as store:
        store.write_step(replace(trace.steps[1], error=told, result=told))
    lines = run("show", trace.id, "--step", "2").stdout.splitlines()
    assert [line for line in lines if told in line] == ["    └── error: sofas is not a valid tool"]


def test_results_are_matched_where_call_ids_repeat(trace: Trace) -> None:
    """Small models number their calls anew each round; a result belongs to the round it came in."""
    first, _, second = trace.steps
    assert first.output is not None
    again = Step(
        second.id, trace.id, "model", "m", second.started_at, input=second.input, output=first.output
    )
    later = [*again.input, first.output, Message("tool", "8 sofas", tool_call_id="call_0")]
    final = Step("z", trace.id, "model", "m", second.started_at, input=later)
    rounds = Trace(trace.id, "", trace.started_at, steps=[first, again, final])
    assert results_by_call(rounds, first) == ["no such tool", "3 \x1b[31mmirrors"]
    assert results_by_call(rounds, again) == ["8 sofas", None]
    assert results_by_call(rounds, final) == []
