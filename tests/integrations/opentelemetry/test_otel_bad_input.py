"""What broken or hostile senders send: it is counted, said once, and the collector goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otel_collector import JSON, PROTOBUF, Collector, otlp
from otel_recordings import all_traces
from otel_spans import answered, called, chat, said, span

from flashtrace_agent.integrations.opentelemetry import complaints
from flashtrace_agent.integrations.opentelemetry.bounds import MAX_VALUES
from flashtrace_agent.integrations.opentelemetry.complaints import Complaints
from flashtrace_agent.integrations.opentelemetry.otlp import BadRequestError
from flashtrace_agent.integrations.opentelemetry.otlp_json import read_json
from flashtrace_agent.integrations.opentelemetry.otlp_protobuf import read_protobuf
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

CHAT = chat([said("user", "Hi")], said("assistant", "Ho"))
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "adder"}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Return a running collector that the tests of this file share."""
    with Collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


def goes_on(collector: Collector, trace_id: str) -> None:
    """Check that a good run, sent now, is stored."""
    assert collector.post(otlp({"attributes": CHAT, "traceId": trace_id}), JSON).status == 200
    with Store(collector.store) as store:
        assert any(trace.metadata["otel_trace_id"] == trace_id for trace in all_traces(store))


def stored(sink: SpanSink, store: Store, *spans: Any) -> Trace:
    sink.receive(spans)
    assert sink.settle()
    (trace,) = all_traces(store)
    return trace


def protobuf_span(**fields: Any) -> Any:
    request = ExportTraceServiceRequest()
    named = {"trace_id": b"\1" * 16, "span_id": b"\2" * 8, "name": "chat", **fields}
    request.resource_spans.add().scope_spans.add().spans.add(**named)
    return request


def test_text_that_is_no_utf_8_in_protobuf(collector: Collector) -> None:
    """Protobuf's strings must be UTF-8: such a body is refused whole, and the next one taken."""
    body = (
        protobuf_span(name="placeholder")
        .SerializeToString()
        .replace(b"placeholder", b"\xff\xfe\xfd\xfcplaceh")
    )
    answer = collector.post(body, PROTOBUF)
    assert answer.status == 400
    goes_on(collector, "a1" * 16)


def test_bytes_that_are_no_utf_8_become_text(collector: Collector) -> None:
    """In an attribute of bytes they are allowed."""
    request = protobuf_span(trace_id=b"\xa2" * 16)
    attributes = request.resource_spans[0].scope_spans[0].spans[0].attributes
    for key, value in CHAT.items():
        attributes.add(key=key).value.string_value = value
    attributes.add(key="session.id").value.bytes_value = b"\xff\x00s"
    assert collector.post(request.SerializeToString(), PROTOBUF).status == 200
    goes_on(collector, "a3" * 16)


def test_a_protobuf_body_cut_short_anywhere(collector: Collector) -> None:
    """Refused or taken as what is left, never an error of the server."""
    whole = protobuf_span(trace_id=b"\xa4" * 16).SerializeToString()
    statuses = {collector.post(whole[:length], PROTOBUF).status for length in range(1, len(whole))}
    assert statuses <= {200, 400}
    goes_on(collector, "a5" * 16)


def test_wide_json_is_refused_before_it_is_parsed(collector: Collector) -> None:
    """Millions of empty lists in a few megabytes would take a hundred times that in memory."""
    bomb = b'{"resourceSpans": [' + b"[]," * (MAX_VALUES + 1) + b"[]]}"
    with pytest.raises(BadRequestError, match="smaller batches"):
        read_json(bomb)
    answer = collector.post(bomb, JSON)
    assert (answer.status, "smaller batches" in answer.json["message"]) == (400, True)
    goes_on(collector, "a6" * 16)


@pytest.mark.parametrize("nested", [b"J\x00", b"\x12\x00"], ids=["attributes", "spans"])
def test_millions_of_empty_values_in_protobuf_are_refused_before_they_are_decoded(
    collector: Collector, nested: bytes
) -> None:
    """Two bytes each, and up to 160 once decoded: of a span, or of a scope."""

    def field(number: int, data: bytes) -> bytes:
        size, prefix = len(data), bytes([number << 3 | 2])
        while size >= 0x80:
            prefix += bytes([size & 0x7F | 0x80])
            size >>= 7
        return prefix + bytes([size]) + data

    many = nested * (MAX_VALUES + 1)
    spans = field(2, field(1, b"\xa9" * 16) + field(2, b"\x01" * 8) + many) if nested == b"J\x00" else many
    bomb = field(1, field(2, spans))
    with pytest.raises(BadRequestError, match="smaller batches"):
        read_protobuf(bomb)
    assert collector.post(bomb, PROTOBUF).status == 400
    goes_on(collector, "aa" * 16)


@pytest.mark.parametrize("value", [7, None, [], {}, True, 1e400, {"stringValue": 7}, {"arrayValue": 7}])
def test_attributes_of_the_wrong_type(collector: Collector, value: Any) -> None:
    """Of the span, or where their value should be."""
    span: dict[str, Any] = {"traceId": "a7" * 16, "spanId": "01" * 8, "attributes": value, "events": value}
    other = {**span, "spanId": "02" * 8, "attributes": [{"key": "gen_ai.input.messages", "value": value}]}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span, other]}]}]})
    assert collector.post(body.encode(), JSON).status in (200, 400)
    goes_on(collector, "a8" * 16)


def test_a_tool_result_of_ten_megabytes_is_kept_whole(store: Store, sink: SpanSink) -> None:
    """It is the user's data, however large."""
    large = "ä" * 5_000_000
    history = [said("user", "x"), called("read", {}), answered(large)]
    trace = stored(
        sink,
        store,
        span(1, AGENT),
        span(2, chat(history[:1], called("read", {})), parent=1),
        span(3, chat(history, said("assistant", "Long.")), parent=1),
    )
    tool = next(step for step in trace.steps if step.kind == "tool")
    assert tool.result == large
    assert trace.steps[-1].input[-1].content == large


def test_parents_in_a_circle(store: Store, sink: SpanSink) -> None:
    """Nobody is above them: the steps are there, and the run is incomplete."""
    trace = stored(
        sink,
        store,
        span(1, CHAT, parent=2),
        span(2, AGENT, parent=3),
        span(3, chat([said("user", "again")], said("assistant", "Yes")), parent=1),
    )
    assert trace.status == "incomplete"
    assert [step.kind for step in trace.steps] == ["model", "model"]
    ids = {step.id: step.parent_id for step in trace.steps}
    assert not any(step == ids.get(parent or "") for step, parent in ids.items())


def test_a_span_that_is_its_own_parent(store: Store, sink: SpanSink) -> None:
    """The smallest circle."""
    assert len(stored(sink, store, span(1, CHAT, parent=1)).steps) == 1


def test_clocks_that_disagree(store: Store, sink: SpanSink) -> None:
    """A tool's host is an hour ahead, the agent's root began after its children, one span has no times."""
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.id": "call_0",
        "gen_ai.tool.call.result": "2",
    }
    history = [said("user", "1+1"), called("add", {"a": 1}), answered("2")]
    early = span(4, chat(history, said("assistant", "2")), parent=1, second=8)
    trace = stored(
        sink,
        store,
        span(1, AGENT, second=500),
        span(2, chat(history[:1], called("add", {"a": 1})), parent=1, second=5),
        span(3, tool, parent=1, second=-3600),
        early,
    )
    called_by = next(
        step for step in trace.steps if step.kind == "model" and step.output and step.output.tool_calls
    )
    ran = next(step for step in trace.steps if step.kind == "tool")
    assert (ran.parent_id, ran.result, ran.tool_call_id) == (called_by.id, "2", "call_0")
    assert trace.name == "adder"
    assert len(trace.steps) == 3
    assert all(step.ended_at is not None for step in trace.steps)


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.input.messages": "not JSON"},
        {"gen_ai.input.messages": '[{"role": "user", "parts"'},
        {"gen_ai.input.messages": '[{"role": "oracle", "parts": [{"type": "text", "content": "Hm"}]}]'},
        {"gen_ai.input.messages": '[{"role": 7, "parts": "text"}]'},
        {"gen_ai.input.messages": '["\\ud800 lone"]'},
        {"gen_ai.input.messages": True, "gen_ai.usage.input_tokens": "many", "gen_ai.request.model": ["m"]},
        {"gen_ai.output.messages": '{"role": "assistant"}', "gen_ai.response.finish_reasons": 3},
        {"gen_ai.tool.definitions": '[{"function": []}, 7, null]'},
    ],
)
def test_messages_that_are_none_cost_no_step(
    store: Store, sink: SpanSink, attributes: dict[str, Any]
) -> None:
    """Unknown roles, broken JSON, other types: the step is there with what could be read."""
    trace = stored(sink, store, span(1, {**CHAT, **attributes}))
    assert [step.kind for step in trace.steps] == ["model"]


@pytest.mark.parametrize("trace_id", ["", "0" * 32, "zz" * 16, "ab", "ab" * 400, 7, None, ["ab"]])
def test_absurd_ids_are_rejected_alone(collector: Collector, trace_id: Any) -> None:
    """The other spans of the request are taken."""
    good = "b" + f"{abs(hash(str(trace_id))) % 10**9:031d}"
    answer = collector.post(
        otlp({"attributes": CHAT, "traceId": good}, {"attributes": CHAT, "traceId": trace_id}), JSON
    )
    assert answer.status == 200
    rejected = int(answer.json.get("partialSuccess", {}).get("rejectedSpans", 0))
    assert rejected == (0 if trace_id == "ab" else 1)
    with Store(collector.store) as store:
        assert any(trace.metadata["otel_trace_id"] == good for trace in all_traces(store))


def test_each_kind_of_fault_is_logged_once(
    store: Store, sink: SpanSink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A million equal faults are one line and a count."""
    fresh = Complaints()
    for module in ("values", "dialects", "messages", "sink"):
        name = f"flashtrace_agent.integrations.opentelemetry.{module}.COMPLAINTS"
        monkeypatch.setattr(name, fresh, raising=False)
    with caplog.at_level(logging.WARNING, logger=complaints.logger.name):
        for number in range(1, 6):
            broken = {**CHAT, "gen_ai.input.messages": '[{"role": "user", '}
            sink.receive([span(number, broken, trace=f"{number:032x}")])
    assert fresh.by_kind
    assert all(times >= 5 for times in fresh.by_kind.values())
    assert len(caplog.records) == len(fresh.by_kind)
    assert len(all_traces(store)) == 5
