"""Small spans written by hand, in the forms of instrumentations of which there is no recording."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flashtrace_agent.integrations.opentelemetry.assembly import assemble
from flashtrace_agent.integrations.opentelemetry.dialects import detect, read_span
from flashtrace_agent.integrations.opentelemetry.reading import Reading
from flashtrace_agent.integrations.opentelemetry.record import SpanRecord
from flashtrace_agent.trace import Trace

START = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
TRACE = "5f" * 16
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}


def span(
    number: int,
    attributes: Mapping[str, Any] | None = None,
    *,
    parent: int | None = None,
    trace: str = TRACE,
    second: float | None = None,
    **fields: Any,
) -> SpanRecord:
    """Return the span with this number; it begins so many seconds after the start and lasts a half."""
    began = START + timedelta(seconds=number if second is None else second)
    given: dict[str, Any] = {"end": began + timedelta(seconds=0.5), "name": f"span {number}", **fields}
    return SpanRecord(
        trace_id=trace,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        start=began,
        attributes=attributes or {},
        **given,
    )


def reading(attributes: Mapping[str, Any], dialect: str, **fields: Any) -> Reading:
    """Return what a span with these attributes says, and check whose it is."""
    made = span(1, attributes, **fields)
    found = detect(made)
    assert found is not None
    assert found.name == dialect
    read = read_span(made)
    assert read is not None
    return read


def chat(messages: Any, answer: Any, **more: Any) -> dict[str, Any]:
    """Return the attributes of a chat in GenAI's form."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(messages),
        "gen_ai.output.messages": json.dumps([answer]),
        **more,
    }


def said(role: str, text: str) -> dict[str, Any]:
    """Return a GenAI message of text."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def called(name: str, arguments: Any, call_id: str = "call_0") -> dict[str, Any]:
    """Return a GenAI message that calls a tool."""
    part = {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
    return {"role": "assistant", "parts": [part]}


def answered(result: str, call_id: str = "call_0") -> dict[str, Any]:
    """Return a GenAI message with a tool's result."""
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": result}]}


def run(*spans: SpanRecord) -> Trace:
    """Return the trace of the spans."""
    trace = assemble(spans)
    assert trace is not None
    return trace
