"""Observations exported from Langfuse, as JSON or JSON Lines.

Recognized are rows of the observations table, exported in the interface or to blob storage
(``trace_id``, ``parent_observation_id``, ``provided_model_name``:
https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields), the API's
observations (the same in camelCase: https://langfuse.com/docs/api-and-data-platform/features/public-api),
and a trace downloaded with its ``observations``
(https://langfuse.com/faq/all/export-single-trace-or-session). Each observation is what Langfuse made
of a span, so it is turned back into that span and read by Langfuse's dialect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flashtrace_agent.integrations.opentelemetry.record import SpanRecord

from .imported import ImportedTrace, ImportFileError, SourceFile
from .spans import assemble_traces, first_of, parse_time

_TYPES = frozenset(
    {
        "span",
        "generation",
        "event",
        "agent",
        "tool",
        "chain",
        "retriever",
        "evaluator",
        "embedding",
        "guardrail",
    }
)
_NOT_METADATA = ("attributes", "resourceAttributes", "scope")
"""Keys under which Langfuse keeps what it did not understand of a span."""


def recognises(record: Mapping[str, Any]) -> bool:
    """Tell whether a file holds Langfuse observations or traces."""
    if isinstance(record.get("observations"), list):
        return True
    kind = record.get("type")
    is_observation = isinstance(kind, str) and kind.lower() in _TYPES
    has_trace = "traceId" in record or "trace_id" in record
    return (is_observation and has_trace) or _is_bare_trace(record)


def read(file: SourceFile) -> list[ImportedTrace]:
    """Return the traces of a file.

    Raises:
        ImportFileError: if it holds traces without their observations.
    """
    if all(_is_bare_trace(value) for value in file.values):
        raise ImportFileError(
            f"{file.path} holds Langfuse traces without their observations: export the observations table."
        )
    return assemble_traces(_record(row, trace) for value in file.values for row, trace in _rows(value))


def _is_bare_trace(record: Mapping[str, Any]) -> bool:
    return "timestamp" in record and "bookmarked" in record and "type" not in record


def _rows(value: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield each observation with its trace's fields, as far as they are there."""
    observations = value.get("observations")
    if not isinstance(observations, list):
        yield value, value
        return
    trace = value["trace"] if isinstance(value.get("trace"), Mapping) else value
    for row in observations:
        yield row, trace


def _record(row: Mapping[str, Any], trace: Mapping[str, Any]) -> SpanRecord:
    start = parse_time(first_of(row, "startTime", "start_time"))
    if start is None:
        raise ValueError("an observation has no start time")
    level = str(row.get("level") or "").upper()
    message = first_of(row, "statusMessage", "status_message")
    return SpanRecord(
        trace_id=str(first_of(row, "traceId", "trace_id")).lower(),
        span_id=str(row["id"]).lower(),
        parent_id=_lower(first_of(row, "parentObservationId", "parent_observation_id")),
        name=str(row.get("name") or ""),
        start=start,
        end=parse_time(first_of(row, "endTime", "end_time")),
        attributes={name: value for name, value in _attributes(row, trace) if value is not None},
        status="error" if level == "ERROR" else "unset",
        status_message=str(message or ""),
    )


def _attributes(row: Mapping[str, Any], trace: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "langfuse.observation.type", str(row.get("type") or "span").lower()
    yield "langfuse.observation.input", row.get("input")
    yield "langfuse.observation.output", row.get("output")
    yield "langfuse.observation.level", row.get("level")
    yield "langfuse.observation.status_message", first_of(row, "statusMessage", "status_message")
    yield (
        "langfuse.observation.model.name",
        first_of(row, "providedModelName", "provided_model_name", "model"),
    )
    yield "langfuse.observation.model.parameters", first_of(row, "modelParameters", "model_parameters")
    yield "langfuse.observation.usage_details", _usage(row)
    yield "session.id", first_of({**trace, **row}, "sessionId", "session_id")
    yield "langfuse.trace.tags", first_of(trace, "tags", "trace_tags")
    for name, value in _object(row.get("metadata")).items():
        if name not in _NOT_METADATA:
            yield f"langfuse.observation.metadata.{name}", value


def _usage(row: Mapping[str, Any]) -> Any:
    details = first_of(row, "usageDetails", "usage_details")
    if details:
        return details
    counts = _object(row.get("usage"))
    prompt = first_of({**row, **counts}, "input_tokens", "promptTokens", "prompt_tokens")
    completion = first_of({**row, **counts}, "output_tokens", "completionTokens", "completion_tokens")
    return {
        "input": counts.get("input", prompt),
        "output": counts.get("output", completion),
    }


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return dict(value) if isinstance(value, Mapping) else {}


def _lower(value: Any) -> str | None:
    return str(value).lower() if value else None
