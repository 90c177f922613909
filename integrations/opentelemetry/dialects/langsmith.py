"""LangSmith's OpenTelemetry export: LangChain's run inputs and outputs as JSON.

``gen_ai.prompt`` and ``gen_ai.completion`` hold them whole. ``langsmith.trace.session_name`` is
the project; what users call the session is in the run's metadata.
"""

from __future__ import annotations

from typing import Any

from ...blocks import users_tags
from ..messages import find_said, read_messages, read_output
from ..reading import Reading
from ..record import SpanRecord
from ..tool_calls import read_tools
from ..tool_output import take_arguments, take_wrapped_result
from ..values import first_text, mapping, prefixed, sampling
from . import genai

_METADATA = "langsmith.metadata."
_NO_METADATA = "LANGSMITH_"  # the environment, which its client copies in


def speaks(span: SpanRecord) -> bool:
    """Tell whether LangSmith wrote the span; users put its metadata on those of others, too."""
    return "langsmith.span.kind" in span.attributes


def read(span: SpanRecord) -> Reading | None:
    """Return what the span says."""
    given = span.attributes
    kind = first_text(given.get("langsmith.span.kind")) or "chain"
    if kind == "llm":
        return _model(span)
    if kind == "tool":
        return _tool(span)
    if kind == "embedding":
        return None
    reading = Reading("frame", first_text(given.get("langsmith.trace.name")) or span.name, **_common(span))
    reading.said = find_said(given.get("gen_ai.completion"))
    return reading


def _model(span: SpanRecord) -> Reading:
    given = span.attributes
    reading = Reading("model", span.name, **_common(span))
    base = genai.read_model(span)  # newer versions add GenAI's own attributes
    reading.input = read_messages(given.get("gen_ai.prompt")) or base.input
    reading.take(read_output(given.get("gen_ai.completion")))
    reading.output = reading.output or base.output
    invocation = mapping(given.get("langsmith.metadata.invocation_params") or given.get("invocation_params"))
    request = mapping(given.get("gen_ai.prompt"))  # of a wrapped client: all that it was called with
    reading.tools = base.tools or read_tools(invocation.get("tools") or request.get("tools"))
    reading.model = base.model or first_text(reading.model, reading.metadata.get("ls_model_name"))
    reading.finish_reason = first_text(reading.finish_reason, base.finish_reason)
    reading.usage = base.usage or reading.usage
    reading.settings = base.settings or sampling(reading.metadata) or sampling(request)
    return reading


def _tool(span: SpanRecord) -> Reading:
    given = span.attributes
    name = first_text(given.get("gen_ai.tool.name"), given.get("langsmith.trace.name")) or span.name
    reading = Reading("tool", name, **_common(span))
    reading.call_id = first_text(
        given.get("gen_ai.tool.call.id"), given.get("langsmith.metadata.tool_call_id")
    )
    arguments = mapping(given.get("gen_ai.prompt"))
    take_arguments(reading, arguments["input"] if set(arguments) == {"input"} else given.get("gen_ai.prompt"))
    take_wrapped_result(reading, given.get("gen_ai.completion"))
    return reading


def _common(span: SpanRecord) -> dict[str, Any]:
    given = span.attributes
    metadata = {
        name: value for name, value in prefixed(given, _METADATA).items() if not name.startswith(_NO_METADATA)
    }
    session = first_text(*(metadata.get(name) for name in ("session_id", "thread_id", "conversation_id")))
    written = first_text(given.get("langsmith.span.tags")) or ""
    tags = users_tags(tag.strip() for tag in written.split(","))
    return {"session": session, "tags": tuple(tags), "metadata": metadata}
