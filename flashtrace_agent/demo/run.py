"""Run the demo agent on its questions, recorded and explained like any user's agent.

Data flow: the agent runs with a `FlashTraceCallbackHandler` in its callbacks; the handler writes
traces to the store and attributes every model step in the background; what is printed is read
back from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.errors import GraphRecursionError

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.integrations.langchain import ChatTransformers, FlashTraceCallbackHandler
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace, make_id, utc_now

from .agent import QUESTIONS, build_agent, worked_examples

MAX_STEPS = 4
"""LangGraph's recursion limit: an agent that goes round in circles is stopped here."""
ANSWER_TOKENS = 96
ATTRIBUTION_SECONDS = 300


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One question's trace with the attributions of its steps, by step id."""

    question: str
    trace: Trace
    attributions: dict[str, list[Attribution]]


def run_demo(store: Store, model_name: str, progress: Callable[[str], None]) -> Iterator[DemoRun]:
    """Ask every question; yield each run when it has been recorded and explained.

    Args:
        progress: called with a few words when each stage begins.

    Raises:
        FlashTraceError: if the model cannot be loaded or a run is not recorded in time.
    """
    progress(f"loading {model_name}")
    chat = ChatTransformers.from_pretrained(model_name, max_new_tokens=ANSWER_TOKENS)
    attributor = Attributor(chat.model, chat.tokenizer, model_name=model_name)
    agent = build_agent(chat)
    session = f"demo {make_id(utc_now())}"  # others may record into the store meanwhile
    for question in QUESTIONS:
        progress(question)
        handler = FlashTraceCallbackHandler(store, attributor, session=session, tags=["demo"])
        config: Any = {"callbacks": [handler], "recursion_limit": MAX_STEPS, "run_name": question}
        try:
            agent.invoke({"messages": [*worked_examples(), HumanMessage(question)]}, config=config)
        except GraphRecursionError:
            progress(f"{question} (stopped after {MAX_STEPS} steps)")
        finally:
            finished = handler.flush(timeout=ATTRIBUTION_SECONDS)
            handler.close()
        if not finished:
            raise FlashTraceError(
                f"Recording {question!r} did not finish within {ATTRIBUTION_SECONDS} s; "
                "see `flashtrace-agent list` for what was recorded."
            )
        trace = store.get_trace(store.list_traces(limit=1, session=session)[0].id)
        yield DemoRun(question, trace, {step.id: store.get_attributions(step.id) for step in trace.steps})
