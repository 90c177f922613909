"""The SDK's finished spans to span records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from .record import SpanEvent, SpanRecord, UnusableSpanError, hex_id, parent_hex, status_of, times


def read_sdk_span(span: ReadableSpan) -> SpanRecord:
    """Return a span of the SDK.

    Raises:
        UnusableSpanError: if it has no usable context.
    """
    context = span.get_span_context()
    if context is None:
        raise UnusableSpanError("A span needs a context with a trace id and a span id.")
    start, end = times(span.start_time or 0, span.end_time or 0)
    scope = span.instrumentation_scope
    return SpanRecord(
        trace_id=hex_id(f"{context.trace_id:032x}", "trace"),
        span_id=hex_id(f"{context.span_id:016x}", "span"),
        parent_id=parent_hex(f"{span.parent.span_id:016x}") if span.parent is not None else None,
        name=span.name,
        start=start,
        end=end,
        kind=span.kind.value + 1,  # OTLP counts from 1; 0 is unspecified there
        attributes=_attributes(span.attributes),
        events=tuple(SpanEvent(event.name, _attributes(event.attributes)) for event in span.events),
        status=status_of(span.status.status_code.value),
        status_message=span.status.description or "",
        resource=_attributes(span.resource.attributes),
        scope=scope.name if scope is not None else "",
        remote_parent=span.parent is not None and span.parent.is_remote,
    )


def _attributes(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {str(key): _value(value) for key, value in (values or {}).items()}


def _value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return _attributes(value)
    if isinstance(value, Sequence):
        return [_value(item) for item in value]
    return str(value)
