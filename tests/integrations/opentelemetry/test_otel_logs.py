"""Messages that come as log records: over the real exporter, in both encodings, damaged, redacted."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otel_collector import JSON, PROTOBUF, Answer, Collector, otlp
from otel_recordings import all_traces
from otel_spans import chat, said, span

from flashtrace_agent.integrations.opentelemetry import journal_events
from flashtrace_agent.integrations.opentelemetry.otlp import BadRequestError
from flashtrace_agent.integrations.opentelemetry.otlp_logs import read_json_logs, read_protobuf_logs
from flashtrace_agent.integrations.opentelemetry.record import EventRecord, SpanEvent
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.message import Message
from flashtrace_agent.redaction import Redaction
from flashtrace_agent.store import Store

EMPTY_CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Return a running collector that the tests of this file share."""
    with Collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


def post_logs(collector: Collector, body: bytes, content_type: str = JSON, **headers: str) -> Answer:
    """Send a body to the collector's other address."""
    traces, collector.url = collector.url, collector.url.replace("/v1/traces", "/v1/logs")
    try:
        return collector.post(body, content_type, **headers)
    finally:
        collector.url = traces


def log(name: str, body: Any = None, attributes: dict[str, str] | None = None, **fields: Any) -> bytes:
    """Return an OTLP JSON request with one record, of the first span of `otlp`."""
    record = {
        "traceId": f"{1:032x}",
        "spanId": f"{1:016x}",
        "observedTimeUnixNano": "1773489600500000000",
        "eventName": name,
        "body": body or {},
        "attributes": [
            {"key": key, "value": {"stringValue": value}} for key, value in (attributes or {}).items()
        ],
        **fields,
    }
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()


def test_takes_what_the_real_exporter_sends(collector: Collector) -> None:
    """The SDK's own span and log exporters, as an instrumentation in its default form uses them."""
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector.url)))
    address = collector.url.replace("/v1/traces", "/v1/logs")
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=address)))
    logger = loggers.get_logger("test")
    with tracers.get_tracer("test").start_as_current_span("chat m", attributes=EMPTY_CHAT):
        logger.emit(LogRecord(event_name="gen_ai.user.message", body={"content": "Hi"}))
        message = {"role": "assistant", "content": "Ho"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        logger.emit(LogRecord(event_name="gen_ai.choice", body=choice))
        logger.emit(LogRecord(body="an ordinary line of somebody's log"))
    assert loggers.force_flush()
    assert tracers.force_flush()
    tracers.shutdown()
    loggers.shutdown()
    with Store(collector.store) as store:
        (step,) = all_traces(store)[-1].steps
    assert (step.input, step.output) == ([Message("user", "Hi")], Message("assistant", "Ho"))
    assert step.finish_reason == "stop"


def test_json_and_gzip_and_a_name_among_the_attributes(collector: Collector) -> None:
    """Older SDKs write the event's name as an attribute, others the body as JSON text."""
    body = {"stringValue": '{"content": "Hi"}'}
    record = log("", body, {"event.name": "gen_ai.user.message"}, traceId="c1" * 16)
    answer = post_logs(collector, gzip.compress(record), Content_Encoding="gzip")
    assert (answer.status, answer.json) == (200, {})
    assert collector.post(otlp({"attributes": EMPTY_CHAT, "traceId": "c1" * 16}), JSON).status == 200
    with Store(collector.store) as store:
        trace = next(each for each in all_traces(store) if each.metadata["otel_trace_id"] == "c1" * 16)
    assert trace.steps[0].input == [Message("user", "Hi")]


def test_records_without_ids_are_reported(collector: Collector) -> None:
    """About a model call but of no span: a partial success; other people's logs are simply taken."""
    answer = post_logs(collector, log("gen_ai.choice", spanId=""))
    assert answer.json["partialSuccess"]["rejectedLogRecords"] == "1"
    assert post_logs(collector, log("something.else", spanId="")).json == {}
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(event_name="gen_ai.choice")
    answered = ExportLogsServiceResponse.FromString(
        post_logs(collector, request.SerializeToString(), PROTOBUF).body
    )
    assert answered.partial_success.rejected_log_records == 1


@pytest.mark.parametrize(
    ("body", "kind"), [(b"{", JSON), (b"\xff\xff", PROTOBUF), (b"[]", JSON), (b'{"resourceLogs": 7}', JSON)]
)
def test_damaged_requests_are_refused(collector: Collector, body: bytes, kind: str) -> None:
    """With the same answers as for spans."""
    assert post_logs(collector, body, kind).status == 400


def test_a_secret_in_a_log_record_is_never_kept(tmp_path: Path) -> None:
    """The rule is applied before the journal, as for spans."""
    store = Store(f"sqlite:///{tmp_path / 'traces.db'}")
    sink = SpanSink(store, redaction=Redaction(["hunter2"]), own_store=True)
    event = SpanEvent("gen_ai.user.message", {"content": "I am hunter2"})
    sink.receive_events([EventRecord("5f" * 16, f"{1:016x}", 1, event)])
    sink.receive([span(1, EMPTY_CHAT)])
    assert all_traces(store)[0].steps[0].input == [Message("user", "I am [redacted]")]
    sink.close()
    assert b"hunter2" not in b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())


def test_a_trace_has_so_many_events(sink: SpanSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap they are refused and counted; a repeated one is neither kept nor refused."""
    monkeypatch.setattr(journal_events, "MAX_TRACE_EVENTS", 3)
    events = [EventRecord("5f" * 16, "01" * 8, at, SpanEvent("gen_ai.choice")) for at in range(5)]
    assert sink.receive_events(events[:3]) == (0, "")
    assert sink.receive_events(events)[0] == 2


def test_a_history_that_grows_late_is_stitched(sink: SpanSink, store: Store) -> None:
    """Two chats stood alone until log records told what was said in them."""
    first = chat([said("user", "Hi")], said("assistant", "Ho"))
    second = chat([said("user", "Hi"), said("assistant", "Ho"), said("user", "?")], said("assistant", "!"))
    traces = ["d1" * 16, "d2" * 16]
    sink.receive(
        [span(number, EMPTY_CHAT, trace=trace, second=10 * number) for number, trace in enumerate(traces, 1)]
    )
    assert len(all_traces(store)) == 2
    name = "gen_ai.client.inference.operation.details"
    for number, (trace, said_there) in enumerate(zip(traces, (first, second), strict=True), 1):
        sink.receive_events([EventRecord(trace, f"{number:016x}", number, SpanEvent(name, said_there))])
    (trace,) = all_traces(store)
    assert [step.output and step.output.content for step in trace.steps] == ["Ho", "!"]


@given(body=st.binary(max_size=80))
@settings(deadline=None)
def test_no_bytes_break_the_protobuf_reader(body: bytes) -> None:
    """Read, or refused."""
    with contextlib.suppress(BadRequestError):
        read_protobuf_logs(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceLogs", "scopeLogs", "logRecords", "body", "attributes", "eventName"])
            | st.sampled_from(["traceId", "spanId", "timeUnixNano", "key", "value", "kvlistValue", "values"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(value=json_values, record=json_values)
@settings(deadline=None)
def test_no_json_breaks_the_reader(value: Any, record: Any) -> None:
    """Whatever stands where objects should."""
    for body in (value, {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, value]}]}]}):
        with contextlib.suppress(BadRequestError):
            read_json_logs(json.dumps(body).encode())
