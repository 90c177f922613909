"""Langfuse's SDK: ``langfuse.observation.*``.

The tools on offer are appended to the input as messages of the role ``tool`` that hold a
definition. Output tokens are split into details that add up to the total. Values under
``metadata`` are JSON, so that texts come with quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...blocks import users_tags
from ..messages import find_said, read_messages, read_output
from ..reading import Reading
from ..record import SpanRecord
from ..tool_calls import read_tools
from ..tool_output import tool_reading
from ..values import count, first_text, listing, mapping, parsed, prefixed, sampling, usage


def speaks(span: SpanRecord) -> bool:
    """Tell whether Langfuse's SDK wrote the span; it adds tags and metadata to those of others, too."""
    return "langfuse.observation.type" in span.attributes


def read(span: SpanRecord) -> Reading | None:
    """Return what the span says."""
    given = span.attributes
    kind = (first_text(given.get("langfuse.observation.type")) or "span").lower()
    if kind == "generation":
        return _model(span)
    if kind == "tool":
        return tool_reading(
            span.name,
            given.get("langfuse.observation.metadata.tool_call_id"),
            given.get("langfuse.observation.input"),
            given.get("langfuse.observation.output"),
            **_common(span),
        )
    if kind in ("embedding", "event"):
        return None
    reading = Reading("frame", span.name, **_common(span))
    reading.said = find_said(given.get("langfuse.observation.output"))
    return reading


def _model(span: SpanRecord) -> Reading:
    given = span.attributes
    reading = Reading("model", span.name, **_common(span))
    conversation, tools = _apart(given.get("langfuse.observation.input"))
    reading.input = read_messages(conversation)
    reading.tools = read_tools(tools)
    reading.take(read_output(given.get("langfuse.observation.output")))
    reading.model = first_text(given.get("langfuse.observation.model.name"), reading.model)
    details = mapping(given.get("langfuse.observation.usage_details"))
    reading.usage = usage(_total(details, "input", "prompt"), _total(details, "output", "completion"))
    reading.settings = sampling(mapping(given.get("langfuse.observation.model.parameters")))
    return reading


def _common(span: SpanRecord) -> dict[str, Any]:
    given = span.attributes
    metadata = {
        name: parsed(value)
        for prefix in ("langfuse.trace.metadata.", "langfuse.observation.metadata.")
        for name, value in prefixed(given, prefix).items()
    }
    level = first_text(given.get("langfuse.observation.level"))
    tags = listing(given.get("langfuse.trace.tags")) + listing(metadata.pop("tags", None))
    return {
        "session": first_text(
            given.get("session.id"),
            given.get("langfuse.session.id"),
            metadata.get("session_id"),
            metadata.get("langfuse_session_id"),
            metadata.get("thread_id"),
        ),
        "tags": tuple(users_tags(tags)),
        "metadata": metadata,
        "failed": level == "ERROR",
        "failure": first_text(given.get("langfuse.observation.status_message")) if level == "ERROR" else None,
    }


def _apart(value: Any) -> tuple[Any, list[Any]]:
    """Return the messages, and the tool definitions among them."""
    found = parsed(value)
    if isinstance(found, Mapping) and "tools" in found:
        return found.get("messages", []), listing(found["tools"])
    if not isinstance(found, list):
        return value, []
    conversation: list[Any] = []
    tools: list[Any] = []
    for item in found:
        content = item.get("content") if isinstance(item, Mapping) and item.get("role") == "tool" else None
        if isinstance(content, Mapping) and "function" in content and "tool_call_id" not in item:
            tools.append(content)
        else:
            conversation.append(item)
    return conversation, tools


def _total(details: Mapping[str, Any], *prefixes: str) -> int | None:
    """Return the sum of a count and its details: Langfuse takes these out of the count itself."""
    parts = [count(value) for name, value in details.items() if name.startswith(prefixes)]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
