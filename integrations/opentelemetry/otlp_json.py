"""OTLP's JSON form to span records.

It differs from protobuf's own JSON: ids are hex, not base64, so protobuf's parser cannot read
it. 64-bit numbers come as text or as numbers, enums as numbers or as their names. A span whose
parts have the wrong type keeps what can be read of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .bounds import check_json
from .otlp import BadRequestError, Batch
from .record import (
    SpanEvent,
    SpanRecord,
    SpanStatus,
    has_remote_parent,
    hex_id,
    parent_hex,
    status_of,
    times,
)

_STATUS_NAMES: dict[str, SpanStatus] = {"STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}
_MAX_DEPTH = 64
"""Attribute values nested deeper are cut off."""


def read_json(body: bytes) -> Batch[SpanRecord]:
    """Return the spans of an OTLP JSON request.

    Raises:
        BadRequestError: if the body is no JSON object with ``resourceSpans``, or one of too many values.
    """
    request = read_request(body, "resourceSpans")
    batch = Batch[SpanRecord]()
    for resource_spans in objects(request.get("resourceSpans")):
        resource = attributes_of(as_object(resource_spans.get("resource")).get("attributes"))
        for scope_spans in objects(resource_spans.get("scopeSpans")):
            scope = as_text(as_object(scope_spans.get("scope")).get("name"))
            for span in items(scope_spans.get("spans")):
                batch.take(_record, as_object(span), resource, scope)
    return batch


def read_request(body: bytes, key: str) -> dict[str, Any]:
    """Return the object that a request's JSON is, with a list under `key` where there is anything.

    Raises:
        BadRequestError: if the body is none, or has too many values.
    """
    check_json(body)
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(
            "The body is no JSON: it is damaged, cut short or nested too deeply."
        ) from error
    if not isinstance(request, dict) or not isinstance(request.get(key, []), list):
        raise BadRequestError(f"The body is no OTLP JSON request: it needs an object with {key}.")
    return request


def _record(span: dict[str, Any], resource: dict[str, Any], scope: str) -> SpanRecord:
    status = as_object(span.get("status"))
    start, end = times(as_integer(span.get("startTimeUnixNano")), as_integer(span.get("endTimeUnixNano")))
    return SpanRecord(
        trace_id=hex_id(as_text(span.get("traceId")), "trace"),
        span_id=hex_id(as_text(span.get("spanId")), "span"),
        parent_id=parent_hex(as_text(span.get("parentSpanId"))),
        name=as_text(span.get("name")),
        start=start,
        end=end,
        kind=as_integer(span.get("kind")),
        attributes=attributes_of(span.get("attributes")),
        events=tuple(
            SpanEvent(as_text(event.get("name")), attributes_of(event.get("attributes")))
            for event in objects(span.get("events"))
        ),
        status=_status(status.get("code")),
        status_message=as_text(status.get("message")),
        resource=resource,
        scope=scope,
        remote_parent=has_remote_parent(as_integer(span.get("flags"))),
    )


def _status(code: Any) -> SpanStatus:
    if isinstance(code, str) and code in _STATUS_NAMES:
        return _STATUS_NAMES[code]
    return status_of(as_integer(code))


def attributes_of(pairs: Any, depth: int = 0) -> dict[str, Any]:
    """Return attributes as plain JSON values; what is no pair is left out."""
    return {as_text(pair.get("key")): value_of(pair.get("value"), depth) for pair in objects(pairs)}


def value_of(value: Any, depth: int) -> Any:
    """Return a value as a plain JSON one, None where it cannot be read."""
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return value if isinstance(value, str | int | float | bool) else None
    if "stringValue" in value:
        return as_text(value["stringValue"])
    if "intValue" in value:
        return as_integer(value["intValue"])
    if "arrayValue" in value:
        return [value_of(item, depth + 1) for item in items(as_object(value["arrayValue"]).get("values"))]
    if "kvlistValue" in value:
        return attributes_of(as_object(value["kvlistValue"]).get("values"), depth + 1)
    for name in ("boolValue", "doubleValue", "bytesValue"):
        found = value.get(name)
        if isinstance(found, str | int | float | bool):
            return found
    return None


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, empty where the value is none."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return a list, empty where the value is none."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Return the objects of a list."""
    return (item for item in items(value) if isinstance(item, dict))


def as_text(value: Any) -> str:
    """Return a text, empty where the value is none."""
    return value if isinstance(value, str) else ""


def as_integer(value: Any) -> int:
    """Return a 64-bit number, given as a number or as text; 0 where the value is none."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return 0
    if isinstance(value, float):
        return int(value) if abs(value) < 2**63 else 0  # also false for NaN and infinity
    return value if isinstance(value, int) else 0
