"""OTLP log records to the events of spans.

Several instrumentations write messages as log records beside the span, not into it: one for each
message in earlier GenAI conventions, one with the whole call (``gen_ai.client.inference.operation.details``)
in the present ones. A record belongs to the span its ids name, whichever of them comes first. All
other records are somebody's log, taken and forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from .otlp_json import as_integer, as_object, as_text, attributes_of, objects, read_request, value_of
from .otlp_protobuf import attributes_of as attributes_of_protobuf
from .otlp_protobuf import parse_request
from .otlp_protobuf import value_of as value_of_protobuf
from .record import EventRecord, SpanEvent, UnusableSpanError, hex_id
from .values import mapping

_PREFIX = "gen_ai."
_LATEST = (1 << 63) - 1


@dataclass(slots=True)
class LogBatch:
    """The events of one request.

    Attributes:
        events: the records that say something about a model call.
        rejected: number of those that would, but name no span.
        reason: why the first of these was rejected; empty where none was.
    """

    events: list[EventRecord] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""

    def take(self, name: str, at: int, ids: tuple[str, str], attributes: dict[str, Any], body: Any) -> None:
        """Take in a record, whatever it is."""
        name = name or as_text(attributes.get("event.name"))
        if not name.startswith(_PREFIX):
            return
        try:
            trace_id, span_id = hex_id(ids[0], "trace"), hex_id(ids[1], "span")
        except UnusableSpanError:
            self.rejected += 1
            self.reason = (
                self.reason or "A log record about a model call needs the ids of its trace and span."
            )
            return
        content = body if isinstance(body, Mapping) else mapping(body)
        event = SpanEvent(name, {**attributes, **content})
        self.events.append(EventRecord(trace_id, span_id, min(max(at, 0), _LATEST), event))


def read_protobuf_logs(body: bytes) -> LogBatch:
    """Return the events of an ``ExportLogsServiceRequest``.

    Raises:
        BadRequestError: if the body is no such message, or one of too many values.
    """
    request = parse_request(body, ExportLogsServiceRequest)
    batch = LogBatch()
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                batch.take(
                    _event_name(record),
                    record.time_unix_nano or record.observed_time_unix_nano,
                    (record.trace_id.hex(), record.span_id.hex()),
                    attributes_of_protobuf(record.attributes),
                    value_of_protobuf(record.body),
                )
    return batch


def read_json_logs(body: bytes) -> LogBatch:
    """Return the events of an OTLP JSON request with ``resourceLogs``.

    Raises:
        BadRequestError: if the body is no such object, or one of too many values.
    """
    request = read_request(body, "resourceLogs")
    batch = LogBatch()
    for resource_logs in objects(request.get("resourceLogs")):
        for scope_logs in objects(resource_logs.get("scopeLogs")):
            for record in objects(scope_logs.get("logRecords")):
                batch.take(
                    as_text(record.get("eventName")),
                    as_integer(record.get("timeUnixNano")) or as_integer(record.get("observedTimeUnixNano")),
                    (as_text(record.get("traceId")), as_text(record.get("spanId"))),
                    attributes_of(record.get("attributes")),
                    value_of(as_object(record.get("body")), 0),
                )
    return batch


def write_protobuf_logs_answer(rejected: int, reason: str) -> bytes:
    """Return an ``ExportLogsServiceResponse``; empty where nothing was rejected."""
    answer = ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = reason
    return bytes(answer.SerializeToString())


def write_json_logs_answer(rejected: int, reason: str) -> bytes:
    """Return the JSON form of an ``ExportLogsServiceResponse``."""
    if not rejected:
        return b"{}"
    partial = {"rejectedLogRecords": str(rejected), "errorMessage": reason}
    return json.dumps({"partialSuccess": partial}).encode()


def _event_name(record: LogRecord) -> str:
    # Before version 1.5 of the protocol the name was an attribute alone.
    return str(getattr(record, "event_name", ""))
