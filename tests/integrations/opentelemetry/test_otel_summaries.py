"""Attributions as spans: in the SDK's own exporter, and through a real receiver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otel_collector import Collector
from otel_recordings import all_traces
from otel_spans import TRACE, answered, called, chat, said, span

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.integrations.opentelemetry.journal import Journal, journal_path
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.integrations.opentelemetry.summaries import RepeatableIds, send_summaries
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "adder"}


def attribution(target: str = "tool_name", start: int = 3) -> Attribution:
    """Return an attribution whose strongest segment is the user's message."""
    scores = np.array([0.1, 0.7, 0.2, 0.0], dtype=np.float32)
    return Attribution(
        input_ids=np.array([1, 2, 3, 4], dtype=np.int32),
        tokens=("You ", "add ", "please", " add"),
        target=(Span(start, 4),),
        through=(),
        scores=scores,
        hops=(Hop(scores, 0.0), Hop(scores, 0.0)),
        method="flashtrace",
        model="tiny",
        target_name=target,
        fidelity="rendered",
        segments=(
            Segment("system", Span(0, 1)),
            Segment("user", Span(1, 2)),
            Segment("template", Span(2, 3)),
            Segment("tool_call:add", Span(3, 4)),
        ),
    )


@pytest.fixture
def explained(store: Store, sink: SpanSink) -> Trace:
    """Return a trace that came as spans, with an attribution of its model step."""
    sink.receive([span(1, AGENT), span(2, chat([said("user", "add")], called("add", {"a": 1})), parent=1)])
    (trace,) = all_traces(store)
    store.write_attribution(trace.steps[0].id, attribution())
    return trace


def in_memory() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=RepeatableIds(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_a_summary_is_a_child_of_the_span_it_explains_and_linked_to_it(
    store: Store, explained: Trace
) -> None:
    """With shares, method, fidelity and a link to the dashboard, at the time of the call."""
    provider, exporter = in_memory()
    assert send_summaries(store, explained.id, provider, dashboard="http://127.0.0.1:8501/") == 1
    (sent,) = exporter.get_finished_spans()
    step = explained.steps[0]
    assert sent.name == "flashtrace.attribution tool_name"
    assert sent.parent is not None
    assert (f"{sent.parent.trace_id:032x}", f"{sent.parent.span_id:016x}") == (TRACE, f"{2:016x}")
    assert sent.context is not None
    assert f"{sent.context.trace_id:032x}" == TRACE
    (link,) = sent.links
    assert (link.context.trace_id, link.context.span_id) == (sent.parent.trace_id, sent.parent.span_id)
    assert sent.attributes == {
        "flashtrace.trace.id": explained.id,
        "flashtrace.step.id": step.id,
        "flashtrace.target": "tool_name",
        "flashtrace.method": "flashtrace",
        "flashtrace.hops": 1,
        "flashtrace.model": "tiny",
        "flashtrace.fidelity": "rendered",
        "flashtrace.fidelity.reason": step.fidelity_reason,
        "flashtrace.segment.names": ("user", "template", "system", "tool_call:add"),
        "flashtrace.segment.shares": (0.7, 0.2, 0.1, 0.0),
        "flashtrace.url": f"http://127.0.0.1:8501/why?trace={explained.id}&step={step.id}&target=tool_name",
    }
    (event,) = sent.events
    assert event.name == "gen_ai.evaluation.result"
    assert event.attributes is not None
    assert event.attributes["gen_ai.evaluation.score.label"] == "user"
    assert event.attributes["gen_ai.evaluation.score.value"] == pytest.approx(0.7)
    assert step.ended_at is not None
    assert sent.start_time == sent.end_time == int(step.ended_at.timestamp() * 1e6) * 1000


def test_sent_twice_it_is_the_same_span(store: Store, explained: Trace) -> None:
    """Backends that replace spans of equal id then show it once; another target is another span."""
    store.write_attribution(explained.steps[0].id, attribution("answer", 2))
    provider, exporter = in_memory()
    send_summaries(store, explained.id, provider)
    send_summaries(store, explained.id, provider)
    ids = [sent.context.span_id for sent in exporter.get_finished_spans() if sent.context]
    assert len(ids) == 4
    assert len(set(ids)) == 2


def test_steps_that_did_not_come_as_spans_are_left_out(store: Store, explained: Trace) -> None:
    """There is nothing to link to."""
    step = explained.steps[0]
    step.settings = {}
    store.write_step(step)
    provider, exporter = in_memory()
    assert send_summaries(store, explained.id, provider) == 0
    assert exporter.get_finished_spans() == ()


def _send(store: Store, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flashtrace_agent", "send", "--store", store.url, *arguments]
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_the_command_says_what_it_cannot_send(store: Store, explained: Trace) -> None:
    """A trace that was named has failed; of a selection it is none."""
    step = explained.steps[0]
    step.settings = {}
    store.write_step(step)
    named = _send(store, explained.id)
    assert (named.returncode, named.stdout) == (1, "Sent 0 summaries of 0 traces.\n")
    assert f"Nothing of {explained.id} can be sent" in named.stderr
    chosen = _send(store, "--where", "since 9999d")
    assert (chosen.returncode, chosen.stderr) == (0, ""), chosen.stderr


def test_the_command_delivers_to_a_receiver(store: Store, explained: Trace, tmp_path: Path) -> None:
    """Over OTLP/HTTP into our own collector, which keeps the span and makes no run of it."""
    folder = tmp_path / "backend"
    folder.mkdir()
    with Collector(folder) as collector:
        done = _send(store, explained.id[:8], "--endpoint", collector.url, "--dashboard", "http://d")
        assert (done.returncode, done.stdout) == (0, "Sent 1 summary of 1 trace.\n"), done.stderr
        assert collector.stop() == 0
    journal = Journal(journal_path(collector.store))
    _, spans = journal.load(TRACE)
    journal.close()
    (received,) = spans
    assert received.attributes["flashtrace.segment.names"] == ["user", "template", "system", "tool_call:add"]
    assert received.parent_id == f"{2:016x}"
    with Store(collector.store) as backend:
        assert backend.list_traces() == []


def test_a_backend_that_is_not_there_is_one_sentence(store: Store, explained: Trace) -> None:
    """Exit code 1, and what to do."""
    done = _send(store, explained.id, "--endpoint", "http://127.0.0.1:9/v1/traces")
    assert done.returncode == 1
    assert "check --endpoint" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert _send(store).returncode == 2


def test_a_late_span_takes_nothing_from_the_other_steps(store: Store, sink: SpanSink) -> None:
    """A tool's own span replaces the step its answer had stood for; remarks and attributions stay."""
    history = [said("user", "add"), called("add", {"a": 1}), answered("2")]
    sink.receive(
        [
            span(1, AGENT),
            span(2, chat(history[:1], called("add", {"a": 1})), parent=1),
            span(4, chat(history, said("assistant", "2")), parent=1),
        ]
    )
    (before,) = all_traces(store)
    stand_in = next(step for step in before.steps if step.kind == "tool")
    asked = before.steps[0]
    store.write_attribution(asked.id, attribution())
    store.annotate(before.id, who="ada", label="good")
    store.annotate(before.id, who="ada", step_id=asked.id, score=1.0)
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.id": "call_0",
        "gen_ai.tool.call.result": "2",
    }
    sink.receive([span(3, tool, parent=1)])
    (after,) = all_traces(store)
    assert after.id == before.id
    assert [step.kind for step in after.steps] == ["model", "tool", "model"]
    assert stand_in.id not in {step.id for step in after.steps}
    assert len(store.get_attributions(asked.id)) == 1
    assert [remark.step_id for remark in store.annotations(after.id)] == [None, asked.id]
