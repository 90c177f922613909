"""Targets have the names that scripts use, and the tokens that say them."""

from __future__ import annotations

from typing import Any

import pytest

from flashtrace_agent.errors import TargetError
from flashtrace_agent.message import Message
from flashtrace_agent.prompt.targets import resolve_target, step_targets, text_targets
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step

from .cutting import make_step

WRITTEN = (
    "<think>\nTwo cities.\n</think>\n\nOne moment.\n"
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm", "days": 3, "note": ""}}\n</tool_call>\n'
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call>\n'
    "<tool_call>\nclock()\n</tool_call>\nSo far.<|im_end|>"
)


@pytest.fixture
def step(byte_tokenizer: Any) -> Step:
    """Return a step with everything in its completion."""
    return make_step(byte_tokenizer, [Message("user", "Weather?")], [], WRITTEN)


def said(tokenizer: Any, step: Step, spans: tuple[Span, ...]) -> list[str]:
    """Return the text of each span."""
    ids = step.token_ids
    assert ids is not None
    return [TokenText(tokenizer, ids[span.start : span.end]).text for span in spans]


def test_every_target_in_order(byte_tokenizer: Any, step: Step) -> None:
    """Reasoning, calls, failed calls, answer; the second call is #2; an empty value is none."""
    targets = step_targets(byte_tokenizer, step)
    assert [(name, said(byte_tokenizer, step, spans)) for name, spans in targets.items()] == [
        ("reasoning", ["Two cities."]),
        ("tool_name", ["weather"]),
        ("argument:city", ["Ulm"]),
        ("argument:days", ["3"]),
        ("tool_name#2", ["weather"]),
        ("argument:city#2", ["Bonn"]),
        ("invalid_call", ["<tool_call>\nclock()\n</tool_call>"]),
        ("answer", ["One moment.", "So far."]),
    ]


@pytest.mark.parametrize("tokenizer", ["byte_tokenizer", "merging_tokenizer"])
@pytest.mark.parametrize(
    ("prompt", "written"),
    [
        ("Weather?", WRITTEN),
        ("Weather?", "It is 20 °C — 晴れ 🌤 in Ulm."),
        ("<think>", "Ulm.</think>\nSunny."),
        ("Weather?", "<think>no end"),
        ("Weather?", ""),
    ],
)
def test_targets_are_found_in_texts_alone(
    request: pytest.FixtureRequest, tokenizer: str, prompt: str, written: str
) -> None:
    """Without the tokenizer, the texts of the tokens give the same spans."""
    chosen = request.getfixturevalue(tokenizer)
    step = make_step(chosen, [Message("user", prompt)], [], written)
    pieces = TokenText(chosen, step.token_ids or []).pieces
    assert text_targets(pieces, len(step.prompt_ids or [])) == step_targets(chosen, step)


def test_tokens_longer_than_the_target_are_part_of_it(merging_tokenizer: Any) -> None:
    """No character of a target is left out."""
    step = make_step(merging_tokenizer, [Message("user", "Weather?")], [], WRITTEN)
    targets = step_targets(merging_tokenizer, step)
    assert "Ulm" in said(merging_tokenizer, step, targets["argument:city"])[0]
    assert "Two cities." in said(merging_tokenizer, step, targets["reasoning"])[0]


def test_a_target_by_name_or_span(byte_tokenizer: Any, step: Step) -> None:
    """A name gives its spans, START:END gives itself."""
    assert (
        resolve_target(byte_tokenizer, step, "tool_name#2")
        == step_targets(byte_tokenizer, step)["tool_name#2"]
    )
    assert resolve_target(byte_tokenizer, step, "3:7") == (Span(3, 7),)


def test_unknown_targets_name_the_known_ones(byte_tokenizer: Any, step: Step) -> None:
    """The error says what there is."""
    with pytest.raises(TargetError, match=r"no target 'argument:town'.*argument:city#2.*START:END"):
        resolve_target(byte_tokenizer, step, "argument:town")
    empty = make_step(byte_tokenizer, [Message("user", "Hi")], [], "<|im_end|>")
    assert step_targets(byte_tokenizer, empty) == {}
    with pytest.raises(TargetError, match="no named targets"):
        resolve_target(byte_tokenizer, empty, "answer")


@pytest.mark.parametrize("text", ["5:5", "0:99999"])
def test_spans_outside_the_step_are_refused(byte_tokenizer: Any, step: Step, text: str) -> None:
    """A span needs tokens, and within the step."""
    with pytest.raises(TargetError, match="give START:END within"):
        resolve_target(byte_tokenizer, step, text)


def test_a_step_without_completion_ids_has_no_targets(byte_tokenizer: Any, step: Step) -> None:
    """There are no tokens to explain."""
    step.completion_ids = None
    assert step_targets(byte_tokenizer, step) == {}
