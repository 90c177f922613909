"""A handler with an attributor: runs are explained once they have ended, and never held up."""

from __future__ import annotations

import threading
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
    assert seen == [(explained.id, ["answer"], "flashtrace-attribution")]
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
        go.wait(10)
        raise MemoryError("no room")

    monkeypatch.setattr("flashtrace_agent.explain.explain_step", explain_step)
    handler = Handler(store, FixedAttributor())  # type: ignore[arg-type]
    for _ in range(3):
        one_call(handler, exact_answer())
    assert handler.flush(2) is False
    assert [summary.status for summary in store.list_traces()] == ["ok"] * 3
    go.set()
    assert handler.flush(10) is True
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
