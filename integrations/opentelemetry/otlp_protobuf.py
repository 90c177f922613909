"""OTLP's binary form to span records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .bounds import check_protobuf
from .otlp import BadRequestError, Batch
from .record import SpanEvent, SpanRecord, has_remote_parent, hex_id, parent_hex, status_of, times

RequestT = TypeVar("RequestT", bound=Message)


def parse_request(body: bytes, kind: type[RequestT]) -> RequestT:
    """Return a request of OTLP in its binary form, bounded before it is decoded.

    Raises:
        BadRequestError: if the body is no such message, or one of too many values.
    """
    check_protobuf(body, kind.DESCRIPTOR)
    request: RequestT = kind()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BadRequestError(
            "The body is no OTLP protobuf message: it is damaged, cut short or in another encoding."
        ) from error
    return request


def read_protobuf(body: bytes) -> Batch[SpanRecord]:
    """Return the spans of an ``ExportTraceServiceRequest``.

    Raises:
        BadRequestError: if the body is no such message, or one of too many values.
    """
    request = parse_request(body, ExportTraceServiceRequest)
    batch = Batch[SpanRecord]()
    for resource_spans in request.resource_spans:
        resource = attributes_of(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                batch.take(_record, span, resource, scope_spans.scope.name)
    return batch


def _record(span: Span, resource: dict[str, Any], scope: str) -> SpanRecord:
    start, end = times(span.start_time_unix_nano, span.end_time_unix_nano)
    return SpanRecord(
        trace_id=hex_id(span.trace_id.hex(), "trace"),
        span_id=hex_id(span.span_id.hex(), "span"),
        parent_id=parent_hex(span.parent_span_id.hex()),
        name=span.name,
        start=start,
        end=end,
        kind=int(span.kind),
        attributes=attributes_of(span.attributes),
        events=tuple(SpanEvent(event.name, attributes_of(event.attributes)) for event in span.events),
        status=status_of(int(span.status.code)),
        status_message=span.status.message,
        resource=resource,
        scope=scope,
        remote_parent=has_remote_parent(int(span.flags)),
    )


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes as plain JSON values."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(value: AnyValue) -> Any:
    """Return a value as a plain JSON one."""
    match value.WhichOneof("value"):
        case "array_value":
            return [value_of(item) for item in value.array_value.values]
        case "kvlist_value":
            return attributes_of(value.kvlist_value.values)
        case "bytes_value":
            return value.bytes_value.decode("utf-8", "replace")
        case None:
            return None
        case name:
            return getattr(value, name)
