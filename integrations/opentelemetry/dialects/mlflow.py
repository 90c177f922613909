"""MLflow's tracing: ``mlflow.span*``, every value JSON-encoded once more.

Its normalised tool schemas lose defaults and nested properties, so the request's own are taken
from ``invocation_params``, where they are verbatim. Reasoning and finish reasons are missing from
chat spans and stand in the chain around them.
"""

from __future__ import annotations

from typing import Any

from ...blocks import users_tags
from ..messages import find_said, read_messages, read_output
from ..reading import Reading
from ..record import SpanRecord
from ..tool_calls import read_tools
from ..tool_output import tool_reading
from ..values import first_text, listing, mapping, plain_text, sampling, usage

_MODEL_TYPES = frozenset({"CHAT_MODEL", "LLM"})
_NOT_RUNS = frozenset({"EMBEDDING", "RETRIEVER", "RERANKER", "PARSER"})


def speaks(span: SpanRecord) -> bool:
    """Tell whether MLflow wrote the span."""
    return "mlflow.spanType" in span.attributes


def read(span: SpanRecord) -> Reading | None:
    """Return what the span says."""
    given = span.attributes
    kind = (plain_text(given.get("mlflow.spanType")) or "UNKNOWN").upper()
    if kind in _MODEL_TYPES:
        return _model(span)
    if kind == "TOOL":
        return tool_reading(
            span.name,
            given.get("tool_call_id"),
            given.get("mlflow.spanInputs"),
            given.get("mlflow.spanOutputs"),
            **_common(span),
        )
    if kind in _NOT_RUNS:
        return None
    reading = Reading("frame", span.name, **_common(span))
    reading.said = find_said(given.get("mlflow.spanOutputs"))
    return reading


def _model(span: SpanRecord) -> Reading:
    given = span.attributes
    reading = Reading("model", span.name, **_common(span))
    inputs = given.get("mlflow.spanInputs")
    reading.input = read_messages(inputs)
    reading.take(read_output(given.get("mlflow.spanOutputs")))
    invocation = mapping(given.get("invocation_params"))
    request = mapping(inputs)
    reading.tools = read_tools(
        invocation.get("tools") or invocation.get("functions") or request.get("tools")
    ) or read_tools(given.get("mlflow.chat.tools"))
    reading.model = first_text(
        given.get("mlflow.llm.model"), reading.model, invocation.get("model_name"), request.get("model")
    )
    counts = mapping(given.get("mlflow.chat.tokenUsage"))
    reading.usage = usage(counts.get("input_tokens"), counts.get("output_tokens")) or reading.usage
    reading.settings = sampling(invocation) or sampling(request)
    return reading


def _common(span: SpanRecord) -> dict[str, Any]:
    given = span.attributes
    metadata = mapping(given.get("metadata"))
    trace_metadata = mapping(given.get("mlflow.traceMetadata"))
    session = first_text(
        given.get("mlflow.trace.session"),
        trace_metadata.get("mlflow.trace.session"),
        metadata.get("session_id"),
        metadata.get("thread_id"),
    )
    tags = users_tags(listing(given.get("tags")))
    return {"session": session, "tags": tuple(tags), "metadata": metadata}
