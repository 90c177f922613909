"""What people see of the queue: which workers run, what waits, what failed."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import Store, workers
from flashtrace_agent.store.heartbeat import repeated
from flashtrace_agent.store.work import work

from .queued import explain, record


def test_a_worker_is_seen_while_it_works_and_gone_after(store: Store) -> None:
    """Its signs of life carry it on, and it says goodbye."""
    stop = threading.Event()
    assert store.workers.running() == []
    outcomes = work(store, explain, worker="host:1", stop=stop, watch=True)
    steps = record(store, 2)
    for step in steps:
        store.jobs.enqueue(step.id)
    next(outcomes)
    assert [worker.name for worker in store.workers.running()] == ["host:1"]
    stop.set()
    assert list(outcomes) == []
    assert store.workers.running() == []


def test_signs_of_life_follow_each_other(store: Store) -> None:
    """A worker that beats stays younger than its start."""
    with store.workers.announced("host:1", beat_s=0.05):
        deadline = time.monotonic() + 120
        while True:
            (worker,) = store.workers.running()
            if worker.seen_at > worker.started_at or time.monotonic() > deadline:
                break
        assert worker.seen_at > worker.started_at


def test_a_missed_beat_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    """A database that is away for a while must not cost a worker its lease and its name."""
    beats: list[int] = []
    beaten = threading.Event()

    def beat() -> None:
        beats.append(len(beats))
        if len(beats) == 1:
            raise StoreError("The store was held by another process.")
        beaten.set()

    with repeated(beat, every_s=0.01, name="flashtrace-lease"):
        assert beaten.wait(60)
    assert caplog.messages == ["flashtrace-lease: The store was held by another process."]


def test_a_silent_worker_counts_as_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed is not waited for."""
    with store.workers.announced("host:1"):
        later = workers.utc_now() + timedelta(seconds=workers.SILENCE_S + 1)
        monkeypatch.setattr(workers, "utc_now", lambda: later)
        assert store.workers.running() == []


def test_open_jobs_are_listed_in_the_order_they_are_taken(store: Store) -> None:
    """Highest priority first, with what they ask for."""
    low, high = record(store, 2)
    store.jobs.enqueue(low.id)
    store.jobs.enqueue(high.id, ["answer"], priority=1)
    first, second = store.jobs.open()
    assert (first.step_id, first.targets, first.status, first.trace_id) == (
        high.id,
        ("answer",),
        "queued",
        high.trace_id,
    )
    assert (second.step_id, second.targets) == (low.id, None)
    assert second.to_dict()["created_at"].endswith("+00:00")
    store.jobs.lease("me")
    assert store.jobs.open()[-1].worker == "me" or store.jobs.open()[0].worker == "me"


def test_one_job_is_tried_again(store: Store) -> None:
    """Retrying one leaves the other dead ones alone."""
    steps = record(store, 2)
    for step in steps:
        store.jobs.enqueue(step.id, max_attempts=1)
    for job in store.jobs.lease("me", count=2):
        store.jobs.fail(job, "no such thing", retry=False)
    chosen, other = store.jobs.dead()
    assert store.jobs.retry(chosen.id) == 1
    assert [job.id for job in store.jobs.dead()] == [other.id]
    assert [job.status for job in store.jobs.of_step(chosen.step_id)] == ["queued"]


def test_a_cancelled_job_writes_nothing(store: Store) -> None:
    """Waiting or being computed: it is gone, and the worker's result is not taken."""
    (step,) = record(store)
    job_id = store.jobs.enqueue(step.id)
    (job,) = store.jobs.lease("me")
    assert store.jobs.cancel(job_id)
    assert not store.jobs.cancel(job_id)
    assert not store.jobs.complete(job, explain(step, job))
    assert store.get_attributions(step.id) == []
    assert store.jobs.enqueue(step.id) == job_id
    assert [state.status for state in store.jobs.of_step(step.id)] == ["queued"]


def test_what_is_done_cannot_be_cancelled(store: Store) -> None:
    """Its result stays."""
    (step,) = record(store)
    job_id = store.jobs.enqueue(step.id)
    (job,) = store.jobs.lease("me")
    store.jobs.complete(job, explain(step, job))
    assert not store.jobs.cancel(job_id)
    assert store.jobs.retry(job_id) == 1
