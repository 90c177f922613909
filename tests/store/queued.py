"""Steps whose attribution is queued, and what a worker does with them in tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import Explain, Outcome, work
from flashtrace_agent.trace import Step

from .examples import make_attribution, make_model_step, make_trace


def record(store: Store, count: int = 1) -> list[Step]:
    """Store a run of `count` model steps."""
    trace = make_trace()
    store.write_trace(trace)
    steps = [make_model_step(trace, number, prompt_ids=[1, 2], completion_ids=[3]) for number in range(count)]
    for step in steps:
        store.write_step(step)
    return steps


def explain(step: Step, job: Job) -> list[Attribution]:
    """Return a made-up attribution of a step."""
    return [make_attribution(step.token_ids or [])]


def make_due(store: Store) -> None:
    """Let every back-off and lease be over."""
    with store._write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET due_at = 0")


def work_off(store: Store, explain: Explain = explain, worker: str = "me") -> Iterator[Outcome]:
    """Work until nothing is open."""
    return work(store, explain, worker=worker, stop=threading.Event(), watch=False)
