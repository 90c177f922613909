"""An exported OTLP file is what a collector takes, and gives the same run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.integrations.opentelemetry.otlp_file import export_otlp, read_otlp
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace
from tests.store.examples import at, make_attribution, make_model_step, make_tool_step, make_trace


def record(store: Store) -> Trace:
    """Store a run: a model calls two tools, one fails; it answers."""
    trace = make_trace(tags=["a"], metadata={}, session="s 1")
    opening = [Message("system", "You count."), Message("user", "How many sofas?")]
    calls = (ToolCall("call_0", "sofas", {"colour": "red"}), ToolCall("call_1", "chairs", {}))
    asking = make_model_step(
        trace, input=opening, output=Message("assistant", "", reasoning="Sofas, then.", tool_calls=calls)
    )
    sofas = make_tool_step(trace, 10, asking)
    chairs = make_tool_step(
        trace, 12, asking, tool_call_id="call_1", arguments={}, status="error", error="no chairs", result=None
    )
    results = [
        Message("tool", "7", tool_call_id="call_0"),
        Message("tool", "no chairs", tool_call_id="call_1", status="error"),
    ]
    again = Message("assistant", "", tool_calls=calls)  # earlier reasoning is not read back: no model sees it
    answering = make_model_step(
        trace, 20, input=[*opening, again, *results], output=Message("assistant", "Seven."),
        finish_reason="stop", tools=[],
    )  # fmt: skip
    trace.steps = [asking, sofas, replace(chairs, name="chairs"), answering]
    trace.ended_at = at(900)
    store.write_trace(trace)
    store.write_steps(trace.steps)
    store.write_attribution(asking.id, make_attribution(asking.token_ids or []))
    return trace


def said(step: Step) -> tuple[object, ...]:
    """Return what spans can carry of a step."""
    ends = (step.kind, step.status, step.started_at, step.ended_at, step.finish_reason)
    return (*ends, step.input, step.output, step.tools, step.tool_call_id, step.arguments)


def test_a_run_goes_out_and_comes_back(tmp_path: Path) -> None:
    """Steps with their messages, calls, tools, times and failures; twice it is the same trace."""
    path = tmp_path / "traces.otlp.jsonl"
    with Store(f"sqlite:///{tmp_path}/old.db") as store:
        trace = record(store)
        counts = export_otlp(store, path)
        assert (counts.traces, counts.steps, counts.attributions) == (1, 4, 1)
    with Store(f"sqlite:///{tmp_path}/new.db") as store:
        for _ in range(2):
            sink = SpanSink(store)
            assert read_otlp(sink, path) == 6
            sink.close()
        (summary,) = store.list_traces()
        back = store.get_trace(summary.id)
    assert (back.name, back.session, back.started_at) == (trace.name, trace.session, trace.started_at)
    assert [said(step) for step in back.steps] == [said(step) for step in trace.steps]
    names = {old.id: new.id for old, new in zip(trace.steps, back.steps, strict=True)}
    assert [step.parent_id for step in back.steps] == [
        names.get(step.parent_id or "") for step in trace.steps
    ]
    assert back.steps[2].error == "no chairs"
    assert back.steps[1].result == "7"
    assert back.steps[0].usage == {"prompt_tokens": 700, "completion_tokens": 3}


def test_each_line_is_an_otlp_request(tmp_path: Path) -> None:
    """As protobuf's own reader understands it; ids are hex in OTLP, so they are left out."""
    path = tmp_path / "traces.otlp.jsonl"
    with Store(f"sqlite:///{tmp_path}/old.db") as store:
        record(store)
        export_otlp(store, path)
    (line,) = path.read_text("utf-8").splitlines()
    request = json.loads(line)
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for span in spans:
        assert int(span.pop("traceId"), 16)
        assert int(span.pop("spanId"), 16)
        span.pop("parentSpanId", None)
    parsed = json_format.ParseDict(request, ExportTraceServiceRequest())
    read = parsed.resource_spans[0].scope_spans[0].spans
    assert [span.name for span in read] == [
        "invoke_agent furniture",
        "chat smollm2",
        "flashtrace.attribution tool_name",
        "execute_tool sofas",
        "execute_tool chairs",
        "chat smollm2",
    ]
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in read)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """With the line."""
    path = tmp_path / "traces.otlp.jsonl"
    path.write_text('{"resourceSpans": []}\n\n{"resour')
    with Store(f"sqlite:///{tmp_path}/new.db") as store:
        sink = SpanSink(store)
        with pytest.raises(FlashTraceError, match=r"is no OTLP/JSON file, see line 3"):
            read_otlp(sink, path)
        with pytest.raises(FlashTraceError, match="cannot be read"):
            read_otlp(sink, tmp_path / "nowhere")
        sink.close()
