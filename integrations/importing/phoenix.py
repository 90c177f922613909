"""Spans exported from Arize Phoenix, as JSON or JSON Lines.

Recognized are the spans of the REST API, its clients and its command line (``context``,
``span_kind``, ``parent_id``, ``attributes``:
https://arize.com/docs/phoenix/sdk-api-reference/rest-api/api-reference/spans, span format in
https://github.com/Arize-ai/openinference/blob/main/spec/traces.md), traces that list such ``spans``,
and data frames written with ``to_json(orient="records")``, whose columns are named
``context.span_id`` and ``attributes.llm.input_messages``
(https://arize.com/docs/phoenix/how-to/extract-data-from-spans). Attributes may be flat or nested;
they are OpenInference's, so that dialect reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flashtrace_agent.integrations.opentelemetry.record import SpanEvent, SpanRecord, SpanStatus

from .imported import ImportedTrace, SourceFile
from .spans import assemble_traces, first_of, parse_time

_WHOLE = (
    "metadata",
    "llm.invocation_parameters",
    "tool.parameters",
    "json_schema",
    "input.value",
    "output.value",
)
"""Endings of attributes whose objects are values, not nesting."""

_STATUS: dict[str, SpanStatus] = {"OK": "ok", "ERROR": "error"}


def recognises(record: Mapping[str, Any]) -> bool:
    """Tell whether a file holds Phoenix spans."""
    if isinstance(record.get("spans"), list) and record["spans"]:
        record = record["spans"][0]
    context = record.get("context")
    nested = isinstance(context, Mapping) and "span_id" in context and "attributes" in record
    return nested or "context.span_id" in record


def read(file: SourceFile) -> list[ImportedTrace]:
    """Return the traces of a file."""
    return assemble_traces(_record(span) for value in file.values for span in _spans(value))


def _spans(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if isinstance(value.get("spans"), list):
        yield from value["spans"]
    else:
        yield value


def _record(span: Mapping[str, Any]) -> SpanRecord:
    context = span.get("context") or {}
    start = parse_time(span["start_time"])
    if start is None:
        raise ValueError("a span has no start time")
    attributes = dict(_attributes(span))
    kind = span.get("span_kind")
    if isinstance(kind, str) and not kind.startswith("SPAN_KIND"):
        attributes.setdefault("openinference.span.kind", kind)
    return SpanRecord(
        trace_id=_id(first_of(span, "context.trace_id") or context["trace_id"]),
        span_id=_id(first_of(span, "context.span_id") or context["span_id"]),
        parent_id=_id(span["parent_id"]) if isinstance(span.get("parent_id"), str) else None,
        name=str(span.get("name") or ""),
        start=start,
        end=parse_time(span.get("end_time")),
        attributes=attributes,
        events=tuple(_events(span.get("events"))),
        status=_STATUS.get(str(span.get("status_code")).upper(), "unset"),
        status_message=str(span.get("status_message") or ""),
    )


def _attributes(span: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    given = span.get("attributes")
    if isinstance(given, Mapping):
        yield from _flat("", given)
    for name, value in span.items():
        if name.startswith("attributes.") and value is not None:
            yield from _flat(name.removeprefix("attributes."), value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``a.b`` and ``a.0.b`` for what is nested, as OpenInference writes it on a span."""
    if name.endswith(_WHOLE):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), item)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _flat(f"{name}.{index}", item)
    else:
        yield name, value


def _events(value: Any) -> Iterator[SpanEvent]:
    found = json.loads(value) if isinstance(value, str) else value
    for event in found or ():
        yield SpanEvent(str(event.get("name") or ""), event.get("attributes") or {})


def _id(value: str) -> str:
    return value.replace("-", "").lower()
