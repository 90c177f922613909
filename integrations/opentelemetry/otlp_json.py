"""OTLP's JSON form to span records.

It differs from protobuf's own JSON: ids are hex, not base64, so protobuf's parser cannot read
it. 64-bit numbers come as text or as numbers, enums as numbers or as their names. A span whose
parts have the wrong type keeps what can be read of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .otlp import BadRequestError, SpanBatch
from .record import (
    SpanEvent,
    SpanRecord,
    SpanStatus,
    UnusableSpanError,
    has_remote_parent,
    hex_id,
    parent_hex,
    status_of,
    times,
)

_STATUS_NAMES: dict[str, SpanStatus] = {"STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}
_MAX_DEPTH = 64
"""Attribute values nested deeper are cut off."""

MAX_VALUES = 4_000_000
"""Commas of a body, which bound the objects it becomes: ``[],[],…`` takes 20 bytes of memory for each."""


def read_json(body: bytes) -> SpanBatch:
    """Return the spans of an OTLP JSON request.

    Raises:
        BadRequestError: if the body is no JSON object with ``resourceSpans``.
    """
    if body.count(b",") > MAX_VALUES:
        raise BadRequestError("The body holds too many values: send smaller batches.")
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(
            "The body is no JSON: it is damaged, cut short or nested too deeply."
        ) from error
    if not isinstance(request, dict) or not isinstance(request.get("resourceSpans", []), list):
        raise BadRequestError("The body is no OTLP JSON request: it needs an object with resourceSpans.")
    batch = SpanBatch()
    for resource_spans in _objects(request.get("resourceSpans")):
        resource = _attributes(_object(resource_spans.get("resource")).get("attributes"))
        for scope_spans in _objects(resource_spans.get("scopeSpans")):
            scope = _text(_object(scope_spans.get("scope")).get("name"))
            for span in _items(scope_spans.get("spans")):
                try:
                    batch.spans.append(_record(_object(span), resource, scope))
                except UnusableSpanError as error:
                    batch.reject(error)
    return batch


def write_json_answer(rejected: int, reason: str) -> bytes:
    """Return the JSON form of an ``ExportTraceServiceResponse``."""
    if not rejected:
        return b"{}"
    partial = {"rejectedSpans": str(rejected), "errorMessage": reason}
    return json.dumps({"partialSuccess": partial}).encode()


def _record(span: dict[str, Any], resource: dict[str, Any], scope: str) -> SpanRecord:
    status = _object(span.get("status"))
    start, end = times(_integer(span.get("startTimeUnixNano")), _integer(span.get("endTimeUnixNano")))
    return SpanRecord(
        trace_id=hex_id(_text(span.get("traceId")), "trace"),
        span_id=hex_id(_text(span.get("spanId")), "span"),
        parent_id=parent_hex(_text(span.get("parentSpanId"))),
        name=_text(span.get("name")),
        start=start,
        end=end,
        kind=_integer(span.get("kind")),
        attributes=_attributes(span.get("attributes")),
        events=tuple(
            SpanEvent(_text(event.get("name")), _attributes(event.get("attributes")))
            for event in _objects(span.get("events"))
        ),
        status=_status(status.get("code")),
        status_message=_text(status.get("message")),
        resource=resource,
        scope=scope,
        remote_parent=has_remote_parent(_integer(span.get("flags"))),
    )


def _status(code: Any) -> SpanStatus:
    if isinstance(code, str) and code in _STATUS_NAMES:
        return _STATUS_NAMES[code]
    return status_of(_integer(code))


def _attributes(pairs: Any, depth: int = 0) -> dict[str, Any]:
    return {_text(pair.get("key")): _value(pair.get("value"), depth) for pair in _objects(pairs)}


def _value(value: Any, depth: int) -> Any:
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return value if isinstance(value, str | int | float | bool) else None
    if "stringValue" in value:
        return _text(value["stringValue"])
    if "intValue" in value:
        return _integer(value["intValue"])
    if "arrayValue" in value:
        return [_value(item, depth + 1) for item in _items(_object(value["arrayValue"]).get("values"))]
    if "kvlistValue" in value:
        return _attributes(_object(value["kvlistValue"]).get("values"), depth + 1)
    for name in ("boolValue", "doubleValue", "bytesValue"):
        found = value.get(name)
        if isinstance(found, str | int | float | bool):
            return found
    return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in _items(value) if isinstance(item, dict))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return 0
    if isinstance(value, float):
        return int(value) if abs(value) < 2**63 else 0  # also false for NaN and infinity
    return value if isinstance(value, int) else 0
