"""OTLP log records to the events of spans.

Several instrumentations write messages as log records beside the span, not into it: one for each
message in earlier GenAI conventions, one with the whole call (``gen_ai.client.inference.operation.details``)
in the present ones. A record belongs to the span its ids name, whichever of them comes first. All
other records are somebody's log, taken and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from . import otlp_protobuf
from .otlp import Batch
from .otlp_json import as_integer, as_object, as_text, attributes_of, objects, read_request, value_of
from .record import EventRecord, SpanEvent, UnusableSpanError, hex_id
from .values import mapping

_PREFIX = "gen_ai."
_LATEST = (1 << 63) - 1


def read_protobuf_logs(body: bytes) -> Batch[EventRecord]:
    """Return the events of an ``ExportLogsServiceRequest``.

    Raises:
        BadRequestError: if the body is no such message, or one of too many values.
    """
    request = otlp_protobuf.parse_request(body, ExportLogsServiceRequest)
    batch = Batch[EventRecord]()
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                batch.take(
                    _event,
                    _event_name(record),
                    record.time_unix_nano or record.observed_time_unix_nano,
                    record.trace_id.hex(),
                    record.span_id.hex(),
                    otlp_protobuf.attributes_of(record.attributes),
                    otlp_protobuf.value_of(record.body),
                )
    return batch


def read_json_logs(body: bytes) -> Batch[EventRecord]:
    """Return the events of an OTLP JSON request with ``resourceLogs``.

    Raises:
        BadRequestError: if the body is no such object, or one of too many values.
    """
    request = read_request(body, "resourceLogs")
    batch = Batch[EventRecord]()
    for resource_logs in objects(request.get("resourceLogs")):
        for scope_logs in objects(resource_logs.get("scopeLogs")):
            for record in objects(scope_logs.get("logRecords")):
                batch.take(
                    _event,
                    as_text(record.get("eventName")),
                    as_integer(record.get("timeUnixNano")) or as_integer(record.get("observedTimeUnixNano")),
                    as_text(record.get("traceId")),
                    as_text(record.get("spanId")),
                    attributes_of(record.get("attributes")),
                    value_of(as_object(record.get("body")), 0),
                )
    return batch


def _event(
    name: str, at: int, trace_id: str, span_id: str, attributes: dict[str, Any], body: Any
) -> EventRecord | None:
    """Return what a record says about a model call; None for any other record."""
    name = name or as_text(attributes.get("event.name"))
    if not name.startswith(_PREFIX):
        return None
    try:
        trace_id, span_id = hex_id(trace_id, "trace"), hex_id(span_id, "span")
    except UnusableSpanError as error:
        raise UnusableSpanError(
            "A log record about a model call needs the ids of its trace and span."
        ) from error
    content = body if isinstance(body, Mapping) else mapping(body)
    event = SpanEvent(name, {**attributes, **content})
    return EventRecord(trace_id, span_id, min(max(at, 0), _LATEST), event)


def _event_name(record: LogRecord) -> str:
    # Before version 1.5 of the protocol the name was an attribute alone.
    return str(getattr(record, "event_name", ""))
