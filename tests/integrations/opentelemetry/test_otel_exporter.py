"""The exporter in a process with the real SDK."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode
from otel_recordings import all_traces
from otel_spans import answered, called, chat, said

from flashtrace_agent.integrations.opentelemetry import FlashTraceSpanExporter
from flashtrace_agent.store import Store

ASK = said("user", "1 + 1?")


def run_agent(provider: TracerProvider) -> None:
    """Make the spans of an agent that calls one tool, which fails."""
    tracer = provider.get_tracer("hand-made")
    with tracer.start_as_current_span(
        "invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "adder"}
    ):
        with tracer.start_as_current_span("chat", attributes=chat([ASK], called("add", {"a": 1}))):
            pass
        tool = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "add",
            "gen_ai.tool.call.id": "call_0",
        }
        with tracer.start_as_current_span("execute_tool add", attributes=tool) as current:
            current.record_exception(ValueError("bad"))
            current.set_status(Status(StatusCode.ERROR, "bad"))
        history = [ASK, called("add", {"a": 1}), answered("Error: bad")]
        with tracer.start_as_current_span("chat", attributes=chat(history, said("assistant", "2"))):
            pass


def test_run_is_written_behind_a_batch_processor(store: Store) -> None:
    """Model and tool steps, the tool's error and the agent's name are in the store after a flush."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    exporter = FlashTraceSpanExporter(store=store)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    run_agent(provider)
    assert provider.force_flush()
    (trace,) = all_traces(store)
    assert (trace.name, trace.status, trace.metadata["service"]) == ("adder", "ok", "shop")
    assert [step.kind for step in trace.steps] == ["model", "tool", "model"]
    tool = trace.steps[1]
    assert (tool.error, tool.result, tool.arguments) == ("ValueError: bad", "Error: bad", {"a": 1})
    assert tool.parent_id == trace.steps[0].id
    provider.shutdown()
    assert exporter.export([]) is SpanExportResult.FAILURE


def test_store_may_be_a_url_and_opens_with_the_first_span(tmp_path: Path) -> None:
    """Nothing is touched before a span comes; shutting down writes what has no root yet."""
    url = f"sqlite:///{tmp_path / 'sub' / 'traces.db'}"
    exporter = FlashTraceSpanExporter(store=url)
    assert exporter.force_flush()
    assert not (tmp_path / "sub").exists()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    root = provider.get_tracer("t").start_span("never ends")
    from opentelemetry.trace import set_span_in_context

    context = set_span_in_context(root)
    attributes = chat([ASK], said("assistant", "2"))
    provider.get_tracer("t").start_span("chat", context, attributes=attributes).end()
    provider.shutdown()
    with Store(url) as store:
        (trace,) = all_traces(store)
        assert (trace.status, len(trace.steps)) == ("incomplete", 1)


def test_never_raises(tmp_path: Path) -> None:
    """A store that cannot be opened and spans that are none are results, not exceptions."""
    (tmp_path / "file").write_text("x")
    broken = FlashTraceSpanExporter(store=f"sqlite:///{tmp_path}/file/traces.db")
    assert broken.export([ReadableSpan("x")]) is SpanExportResult.FAILURE
    nonsense: Any = [None, 5]
    assert broken.export(nonsense) is SpanExportResult.FAILURE
    assert broken.force_flush()
    broken.shutdown()
    broken.shutdown()
    assert broken.problems


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_works_in_forked_children(tmp_path: Path) -> None:
    """An exporter that has already written in the parent writes in a pre-forked worker too."""
    program = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from flashtrace_agent.integrations.opentelemetry import FlashTraceSpanExporter
        from test_otel_exporter import run_agent
        exporter = FlashTraceSpanExporter(store="sqlite:///{tmp_path}/traces.db")
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        run_agent(provider)
        child = os.fork()
        run_agent(provider)
        assert exporter.force_flush()
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
    with Store(f"sqlite:///{tmp_path}/traces.db") as store:
        assert [len(trace.steps) for trace in all_traces(store)] == [3, 3, 3]
