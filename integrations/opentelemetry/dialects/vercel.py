"""Vercel's AI SDK: ``ai.*``.

A call of ``generateText`` or ``streamText`` is a frame; its requests are ``….doGenerate`` and ``….doStream``
spans, its tools ``ai.toolCall`` spans. Messages, calls and tools are JSON in the SDK's own words.
"""

from __future__ import annotations

import json
from typing import Any

from ..messages import read_messages, read_output
from ..reading import Reading
from ..record import SpanRecord
from ..tool_calls import read_tools
from ..tool_output import tool_reading
from ..values import first_text, listing, prefixed, usage
from . import genai

_METADATA = "ai.telemetry.metadata."


def speaks(span: SpanRecord) -> bool:
    """Tell whether the AI SDK wrote the span."""
    return "ai.operationId" in span.attributes


def read(span: SpanRecord) -> Reading | None:
    """Return what the span says."""
    operation = first_text(span.attributes.get("ai.operationId")) or ""
    if operation.endswith((".doGenerate", ".doStream")):
        return _model(span)
    if operation == "ai.toolCall":
        return _tool(span)
    if operation.startswith(("ai.generate", "ai.stream")):
        return Reading("frame", _name(span), **_common(span))
    return None  # embeddings, reranking, speech


def _model(span: SpanRecord) -> Reading:
    given = span.attributes
    reading = Reading("model", _name(span), **_common(span))
    reading.input = read_messages(given.get("ai.prompt.messages"))
    answer = {
        "role": "assistant",
        "content": given.get("ai.response.text", given.get("ai.response.object", "")),
        "reasoning": given.get("ai.response.reasoning"),
        "tool_calls": [_call(call) for call in listing(given.get("ai.response.toolCalls"))],
    }
    if any(name.startswith("ai.response.") for name in given):
        reading.take(read_output(answer))
    reading.tools = read_tools(given.get("ai.prompt.tools"))
    reading.model = first_text(given.get("ai.response.model"), given.get("ai.model.id"))
    reading.finish_reason = genai.finish(first_text(given.get("ai.response.finishReason")))
    reading.usage = usage(
        given.get("ai.usage.inputTokens", given.get("ai.usage.promptTokens")),
        given.get("ai.usage.outputTokens", given.get("ai.usage.completionTokens")),
    )
    reading.settings = genai.request_settings(span)
    return reading


def _tool(span: SpanRecord) -> Reading:
    given = span.attributes
    return tool_reading(
        first_text(given.get("ai.toolCall.name")) or span.name,
        given.get("ai.toolCall.id"),
        given.get("ai.toolCall.args"),
        _unquoted(given.get("ai.toolCall.result")),
        **_common(span),
    )


def _unquoted(result: Any) -> Any:
    """Return a tool's result as a model is shown it: a text comes as JSON, an object stays that."""
    if isinstance(result, str) and result.startswith('"'):
        try:
            return json.loads(result)
        except ValueError:
            return result
    return result


def _name(span: SpanRecord) -> str:
    return first_text(span.attributes.get("ai.telemetry.functionId")) or span.name


def _common(span: SpanRecord) -> dict[str, Any]:
    metadata = prefixed(span.attributes, _METADATA)
    names = ("sessionId", "session_id", "threadId", "chatId")
    return {"session": first_text(*(metadata.get(name) for name in names)), "metadata": metadata}


def _call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    arguments = call.get("input", call.get("args"))
    return {"id": call.get("toolCallId"), "name": call.get("toolName"), "arguments": arguments}
