"""A handler with an attributor: runs are explained once they have ended, and never held up."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain.agents import create_agent
from recorded import answer, exact_answer, one_call, traces
from scripted_model import add
from tiny_models import llama, tokenizer

from flashtrace_agent import Attributor
from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.integrations.langchain import ChatTransformers, FlashTraceCallbackHandler
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step

Handler = FlashTraceCallbackHandler
ASK = {"messages": [("user", "What is 1 + 2?")]}


class FixedAttributor:
    """Stands for an attributor; `explain_step` is replaced as well."""


def test_steps_with_exact_ids_are_explained_after_their_trace(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another thread, with the asked-for targets; text-only steps are left alone."""
    seen: list[tuple[str, Any, str]] = []

    def explain_step(attributor: Any, step: Step, targets: Any) -> list[Attribution]:
        seen.append((step.id, targets, threading.current_thread().name))
        assert store.get_trace(step.trace_id).status == "ok"
        scores = np.array([0.5, 0.3, 0.2, 0, 0], dtype=np.float32)
        return [
            Attribution(
                input_ids=np.array(step.token_ids, dtype=np.int32),
                tokens=("a",) * 5,
                target=(Span(4, 5),),
                through=(),
                scores=scores,
                hops=(Hop(scores, 0.0),),
                method="flashtrace",
                target_name="answer",
            )
        ]

    monkeypatch.setattr("flashtrace_agent.explain.explain_step", explain_step)
    handler = Handler(store, FixedAttributor(), targets=["answer"])  # type: ignore[arg-type]
    one_call(handler, exact_answer())
    one_call(handler, answer("text only"))
    found = traces(handler, store)
    (explained,) = [trace.steps[0] for trace in found if trace.steps[0].fidelity is Fidelity.EXACT]
    assert seen == [(explained.id, ("answer",), "flashtrace-attribution")]
    (attribution,) = store.get_attributions(explained.id)
    assert attribution.target_name == "answer"
    assert handler.errors == 0
    handler.close()


def test_slow_or_failing_attribution_does_not_hold_up_recording(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs are written while an earlier one is being explained; failures are counted."""
    go = threading.Event()

    def explain_step(attributor: Any, step: Step, targets: Any) -> list[Attribution]:
        go.wait(120)
        raise MemoryError("no room")

    monkeypatch.setattr("flashtrace_agent.explain.explain_step", explain_step)
    handler = Handler(store, FixedAttributor())  # type: ignore[arg-type]
    for _ in range(3):
        one_call(handler, exact_answer())
    assert handler.flush(2) is False
    assert [summary.status for summary in store.list_traces()] == ["ok"] * 3
    go.set()
    assert handler.flush(120) is True
    assert handler.errors == 3
    handler.close()


def test_a_recorded_run_of_a_real_model_is_explained(store: Store) -> None:
    """ChatTransformers, handler and Attributor share one model object."""
    model = llama()
    handler = Handler(store, Attributor(model, tokenizer()))
    chat = ChatTransformers(model=model, tokenizer=tokenizer(), max_new_tokens=8)
    agent = create_agent(chat, [add])
    agent.invoke(ASK, config={"callbacks": [handler]})
    assert handler.flush(60)
    assert handler.errors == 0, handler._recorder.failures.by_kind
    (summary,) = store.list_traces()
    (step,) = store.get_trace(summary.id).steps
    attributions = store.get_attributions(step.id)
    assert attributions
    assert all(item.fidelity == "exact" for item in attributions)
    assert abs(float(attributions[0].scores.sum()) - 1) < 0.01
    handler.close()


KILLED = """
import os, sys, threading
sys.path.insert(0, {tests!r})
import flashtrace_agent.explain
from recorded import exact_answer, one_call
from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler

begun = threading.Event()

def explain_step(*_):
    begun.set()
    threading.Event().wait()

flashtrace_agent.explain.explain_step = explain_step
handler = FlashTraceCallbackHandler({url!r}, object(), targets=["answer"])
for _ in range(3):
    one_call(handler, exact_answer())
begun.wait(60)
handler._recorder._writer.wait(60)
os.kill(os.getpid(), 9)
"""


def test_a_killed_process_leaves_its_attributions_queued(store: Store) -> None:
    """Those it had not begun, and the one it was computing, for any worker."""
    code = KILLED.format(tests=str(Path(__file__).parent), url=store.url)
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == -9
    assert sum(store.jobs.counts()[status] for status in ("queued", "leased")) == 3
    with store._write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET due_at = 0")  # its leases are over
    jobs = store.jobs.lease("worker", count=9)
    assert {job.step_id for job in jobs} == {
        step.id for summary in store.list_traces() for step in store.get_trace(summary.id).steps
    }
    assert {job.targets for job in jobs} == {("answer",)}


def test_what_close_leaves_is_queued(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that is closed while attributions wait loses none of them."""
    go, begun = threading.Event(), threading.Event()

    def explain_step(attributor: Any, step: Step, targets: Any) -> list[Attribution]:
        begun.set()
        go.wait(30)
        return []

    monkeypatch.setattr("flashtrace_agent.explain.explain_step", explain_step)
    handler = Handler(store, FixedAttributor())  # type: ignore[arg-type]
    for _ in range(4):
        one_call(handler, exact_answer())
    assert begun.wait(120)
    assert handler.close(timeout=0.2) is False
    go.set()
    for thread in threading.enumerate():
        if thread.name == "flashtrace-attribution":
            thread.join(120)
    counts = store.jobs.counts()
    assert (counts["leased"], counts["queued"] + counts["done"]) == (0, 4)
    assert counts["queued"] >= 1
