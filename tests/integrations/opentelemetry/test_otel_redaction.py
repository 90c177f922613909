"""A secret in spans never reaches the disk: neither the store nor the journal beside it."""

from __future__ import annotations

import json
from pathlib import Path

from otel_collector import Collector
from otel_recordings import all_traces
from otel_spans import called, chat, said, span

from flashtrace_agent.integrations.opentelemetry import FlashTraceSpanExporter
from flashtrace_agent.integrations.opentelemetry.record import SpanEvent
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.redaction import Redaction
from flashtrace_agent.store import Store

SECRET = 'hunter2-"horse"'
PATTERN = 'hunter2-"horse"'


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_nothing_of_a_secret_is_kept(tmp_path: Path) -> None:
    """In messages (JSON in attributes), tools, events, names, status and resource."""
    store = Store(f"sqlite:///{tmp_path / 'traces.db'}")
    sink = SpanSink(store, redaction=Redaction([PATTERN]), own_store=True)
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": f"agent {SECRET}"}
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "login",
        "gen_ai.tool.call.id": "call_0",
        "gen_ai.tool.call.arguments": json.dumps({"password": SECRET}),
        "gen_ai.tool.call.result": json.dumps(json.dumps({"session": SECRET})),
    }
    failed = SpanEvent("exception", {"exception.message": SECRET})
    spans = [
        span(2, chat([said("user", f"Log in: {SECRET}")], called("login", {"password": SECRET})), parent=1),
        span(3, tool, parent=1, events=(failed,), status="error", status_message=SECRET),
        span(1, agent, name=SECRET, resource={"service.name": SECRET}),
    ]
    sink.receive(spans)
    (trace,) = all_traces(store)
    assert [step.kind for step in trace.steps] == ["model", "tool"]
    assert trace.steps[1].arguments == {"password": "[redacted]"}
    assert trace.steps[1].parent_id == trace.steps[0].id
    assert trace.steps[0].input[0].content == "Log in: [redacted]"
    sink.close()
    journal = (tmp_path / "traces.spans.db").exists()
    assert journal
    assert b"hunter2" not in on_disk(tmp_path)
    # The journal's bodies are compressed: what they say is read back.
    with Store(f"sqlite:///{tmp_path / 'traces.db'}") as again:
        assert "hunter2" not in repr(all_traces(again))
    from flashtrace_agent.integrations.opentelemetry.journal import Journal, journal_path

    kept = Journal(journal_path(f"sqlite:///{tmp_path / 'traces.db'}"))
    assert "hunter2" not in repr(kept.load(spans[0].trace_id))
    kept.close()


def test_exporter_and_collector_take_rules(tmp_path: Path) -> None:
    """A function for the one, patterns on the command line for the other."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    with Store(f"sqlite:///{tmp_path / 'exported.db'}") as store:
        exporter = FlashTraceSpanExporter(store, redact=lambda text: text.replace("hunter2", "***"))
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("t").start_as_current_span(
            "chat", attributes=chat([said("user", "hunter2")], said("assistant", "hunter2?"))
        ):
            pass
        provider.shutdown()
        (trace,) = all_traces(store)
        assert trace.steps[0].input[0].content == "***"
    with Collector(tmp_path, arguments=("--redact", "hunter2")) as collector:
        body = {
            "resourceSpans": [
                {
                    "scopeSpans": [
                        {
                            "spans": [
                                {
                                    "traceId": "ab" * 16,
                                    "spanId": "cd" * 8,
                                    "name": "chat",
                                    "startTimeUnixNano": "1",
                                    "endTimeUnixNano": "2",
                                    "attributes": [
                                        {"key": key, "value": {"stringValue": value}}
                                        for key, value in chat(
                                            [said("user", "hunter2")], said("assistant", "ok")
                                        ).items()
                                    ],
                                }
                            ]
                        }
                    ]
                }
            ]
        }
        assert collector.post(json.dumps(body).encode(), "application/json").status == 200
    with Store(collector.store) as store:
        (trace,) = all_traces(store)
    assert trace.steps[0].input[0].content == "[redacted]"
