"""What a rule takes out is gone, everywhere, and nothing else is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.redaction import REDACTED, Redaction
from flashtrace_agent.trace import Fidelity, Step, Trace

SECRET = 'sk-"ä\n1'
RULE = Redaction([re.escape(SECRET)])
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def step(**fields: Any) -> Step:
    content: dict[str, Any] = {
        "name": "m",
        "input": [Message("user", "Hello")],
        "output": Message("assistant", "Hi"),
        "prompt_ids": [1, 2],
        "completion_ids": [3],
        "fidelity": Fidelity.EXACT,
        "fidelity_reason": "ids from the generating process",
    }
    return Step("s" * 26, "t" * 26, "model", started_at=NOW, **(content | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": SECRET},
        {"error": f"ValueError: {SECRET}"},
        {"input": [Message("user", f"My key is {SECRET}.")]},
        {"input": [Message("assistant", "", reasoning=SECRET)]},
        {"input": [Message("assistant", "", tool_calls=(ToolCall("c", "f", {"key": [SECRET]}),))]},
        {"input": [Message("assistant", "", tool_calls=(ToolCall("c", "f", json.dumps({"k": SECRET})),))]},
        {"input": [Message("tool", json.dumps({"a": {"b": SECRET}}), name=SECRET)]},
        {"input": [Message("tool", json.dumps(json.dumps({"twice": SECRET})))]},
        {"input": [Message("tool", json.dumps({SECRET: 1}))]},
        {"output": Message("assistant", SECRET)},
        {"tools": [ToolSchema("f", SECRET, {"properties": {"x": {"enum": [SECRET]}}})]},
        {"settings": {"template_kwargs": {"user": SECRET}}},
        {"arguments": {"x": SECRET}},
        {"result": SECRET},
    ],
)
def test_a_secret_is_taken_out_wherever_it_is(fields: dict[str, Any]) -> None:
    """In JSON inside text too, however it is escaped; the token ids go with it."""
    clean = RULE.step(step(**fields))
    written = repr(clean)
    for form in (SECRET, "sk-", repr(SECRET)[1:-1]):
        assert form not in written
    assert REDACTED in written
    assert (clean.prompt_ids, clean.completion_ids) == (None, None)
    assert (clean.fidelity, clean.settings["redacted"]) == (Fidelity.APPROXIMATE, True)
    assert clean.fidelity_reason == "redacted: its token ids are not stored"


def test_a_step_without_secrets_is_left_alone() -> None:
    """Ids, fidelity and odd JSON stay as they are."""
    plain = step(result='{"a":1, "b" :2}', arguments={"n": 3, "t": True, "x": None})
    assert RULE.step(plain) is plain


def test_headers_are_redacted_too() -> None:
    """Names, errors, sessions, tags, metadata."""
    trace = Trace(
        "t" * 26, SECRET, NOW, error=SECRET, session=SECRET, tags=[SECRET], prompt_version=SECRET,
        metadata={"user": {"key": SECRET}},
    )  # fmt: skip
    assert "sk-" not in repr(RULE.trace(trace))


@pytest.mark.parametrize("rule", [lambda text: 1 / 0, lambda text: None, lambda text: b"x"])
def test_a_rule_that_fails_lets_nothing_through(rule: Any) -> None:
    """An exception, or something that is no text."""
    clean = Redaction(rule).step(step())
    assert [message.content for message in clean.input] == [REDACTED]
    assert clean.output == Message("assistant", REDACTED)


def test_numbers_are_looked_at_as_they_are_written() -> None:
    """A card's number need not be a text."""
    rule = Redaction([r"\b\d{16}\b"])
    assert rule.value({"card": 4111111111111111, "n": 3}) == {"card": REDACTED, "n": 3}


def test_nesting_without_end_is_cut_off() -> None:
    """JSON bombs do not exhaust the stack."""
    deep = "[" * 100_000
    assert RULE.text(deep) == deep
    value: Any = SECRET
    for _ in range(500):
        value = [value]
    assert "sk-" not in repr(RULE.value(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(value=JSON, where=st.integers(0, 3), ascii_only=st.booleans())
def test_json_keeps_its_shape_and_loses_its_secret(value: Any, where: int, ascii_only: bool) -> None:
    """Whatever it is nested in, and however many times it was encoded."""
    nested: Any = {"rest": value, "secret": SECRET}
    for _ in range(where):
        nested = json.dumps({"in": nested}, ensure_ascii=ascii_only)
    clean = RULE.value(nested)
    for _ in range(where):
        clean = json.loads(clean)["in"]
    assert clean == {"rest": value, "secret": REDACTED}
