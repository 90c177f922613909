"""Google's Agent Development Kit: GenAI's attributes, with what was said under ``gcp.vertex.agent.*``.

Requests and responses are those of Gemini's API as JSON, whatever the model.
"""

from __future__ import annotations

from typing import Any

from ..messages import read_messages, read_output
from ..reading import Reading
from ..record import SpanRecord
from ..tool_calls import read_tools
from ..tool_output import take_arguments, take_result
from ..values import first_text, mapping, sampling
from . import genai

_PREFIX = "gcp.vertex.agent."
_MERGED = "(merged tools)"


def speaks(span: SpanRecord) -> bool:
    """Tell whether ADK wrote the span."""
    return any(name.startswith(_PREFIX) for name in span.attributes)


def read(span: SpanRecord) -> Reading | None:
    """Return what the span says."""
    if span.attributes.get("gen_ai.tool.name") == _MERGED:
        return None  # of several calls at once; each has a span of its own
    reading = genai.read(span)
    if reading is None:
        return None
    reading.session = reading.session or first_text(span.attributes.get(_PREFIX + "session_id"))
    if reading.kind == "model":
        _take_exchange(reading, span)
    elif reading.kind == "tool":
        take_arguments(reading, span.attributes.get(_PREFIX + "tool_call_args", reading.arguments))
        take_result(reading, span.attributes.get(_PREFIX + "tool_response", reading.result))
    return reading


def _take_exchange(reading: Reading, span: SpanRecord) -> None:
    request = mapping(span.attributes.get(_PREFIX + "llm_request"))
    config = mapping(request.get("config"))
    system = genai.system_messages(config.get("system_instruction"))
    reading.input = reading.input or system + read_messages(request.get("contents"))
    reading.tools = reading.tools or read_tools(_lower(config.get("tools")))
    reading.settings = sampling(config) | reading.settings
    reading.take(read_output(mapping(span.attributes.get(_PREFIX + "llm_response")).get("content")))


def _lower(schema: Any) -> Any:
    """Return schemas with their types as JSON Schema writes them, and as models are shown them."""
    if isinstance(schema, list):
        return [_lower(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else _lower(value)
        for key, value in schema.items()
    }
