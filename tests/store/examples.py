"""Small traces for the store's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.check import judge
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

START = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

SOFAS = ToolSchema("sofas", "Count sofas.", {"type": "object", "properties": {"colour": {"type": "string"}}})


def at(milliseconds: int) -> datetime:
    """Return a time after `START`."""
    return START + timedelta(milliseconds=milliseconds)


def make_trace(key: str = "trace", *, milliseconds: int = 0, **fields: Any) -> Trace:
    """Return a trace with every header field set."""
    started = at(milliseconds)
    header: dict[str, Any] = {
        "name": "furniture",
        "ended_at": started + timedelta(seconds=1),
        "status": "ok",
        "session": "session 1",
        "tags": ["b", "a", "b"],
        "prompt_version": "v2",
        "metadata": {"user": 7, "nested": {"x": [1, None]}},
    }
    return Trace(id=make_id(started, key), started_at=started, **(header | fields))


def make_model_step(trace: Trace, number: int = 0, **fields: Any) -> Step:
    """Return a model step that calls a tool."""
    content: dict[str, Any] = {
        "ended_at": at(number + 1),
        "status": "ok",
        "input": [Message("system", "You count."), Message("user", "How many sofas?")],
        "output": Message(
            "assistant",
            "",
            reasoning="Sofas, then.",
            tool_calls=(ToolCall("call_0", "sofas", {"colour": "red"}),),
        ),
        "tools": [SOFAS],
        "model": "smollm2",
        "prompt_ids": list(range(700)),
        "completion_ids": [5, 6, 70000],
        "finish_reason": "tool_calls",
        "fidelity": Fidelity.EXACT,
        "fidelity_reason": "from the process",
        "usage": {"prompt_tokens": 700, "completion_tokens": 3},
        "settings": {"chat_template_hash": "abc", "template_kwargs": {"enable_thinking": True}},
    }
    return Step(
        make_id(at(number), f"{trace.id} {number}"),
        trace.id,
        "model",
        "smollm2",
        at(number),
        **(content | fields),
    )


def make_tool_step(trace: Trace, number: int, parent: Step, **fields: Any) -> Step:
    """Return a tool step that `parent` called."""
    content: dict[str, Any] = {
        "ended_at": at(number + 1),
        "status": "ok",
        "parent_id": parent.id,
        "tool_call_id": "call_0",
        "arguments": {"colour": "red"},
        "result": "7",
    }
    return Step(
        make_id(at(number), f"{trace.id} {number}"),
        trace.id,
        "tool",
        "sofas",
        at(number),
        **(content | fields),
    )


def make_attribution(ids: Sequence[int], **fields: Any) -> Attribution:
    """Return an attribution over `ids` with pseudo-random scores and two hops."""
    generator = np.random.default_rng(len(ids))
    scores = generator.exponential(size=len(ids)).astype(np.float32) ** 3
    scores /= scores.sum()
    half = len(ids) // 2
    content: dict[str, Any] = {
        "target": (Span(len(ids) - 2, len(ids) - 1),),
        "through": (Span(half, half + 2),),
        "scores": scores,
        "hops": (Hop(scores * 3, 1.0), Hop(scores[::-1].copy() * 0.001, 0.25)),
        "method": "flashtrace",
        "model": "smollm2",
        "target_name": "tool_name",
        "fidelity": "exact",
        "segments": (Segment("system", Span(0, half), 0), Segment("user", Span(half, len(ids)), 1)),
        "settings": {"hops": 1, "dtype": "float32"},
        "checked": judge("tokens", 2, 20, "target", 3.5, (0.25, 0.5, -0.125)),
    }
    return Attribution(
        input_ids=np.asarray(ids, dtype=np.int32),
        tokens=tuple(f" t{token}" for token in ids),
        **(content | fields),
    )
