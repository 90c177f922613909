"""Workers do every job of a queue once, whoever dies when."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import ModelFileError, StoreError, TargetError
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import work
from flashtrace_agent.trace import Step

from .examples import make_model_step, make_trace
from .queued import explain, make_due, record, work_off

REPOSITORY = Path(__file__).resolve().parents[2]


def test_work_ends_when_nothing_is_open(store: Store) -> None:
    """Every job is done, in order."""
    for step in record(store, 3):
        store.jobs.enqueue(step.id)
    outcomes = list(work_off(store))
    assert [outcome.result for outcome in outcomes] == ["done"] * 3


def test_work_gives_up_what_cannot_succeed_and_retries_the_rest(store: Store) -> None:
    """An error with a cause is final; any other may pass."""
    doomed, flaky = record(store, 2)
    for step in (doomed, flaky):
        store.jobs.enqueue(step.id)
    tries: list[str] = []

    def explain_badly(step: Step, job: Job) -> list[Attribution]:
        tries.append(step.id)
        if step.id == doomed.id:
            raise TargetError("There is no such target.")
        if tries.count(step.id) == 1:
            raise MemoryError("out of memory")
        return explain(step, job)

    outcomes = []
    for outcome in work_off(store, explain_badly):
        outcomes.append((outcome.job.step_id, outcome.result, outcome.error))
        make_due(store)
    assert outcomes == [
        (doomed.id, "dead", "There is no such target."),
        (flaky.id, "retried", "MemoryError: out of memory"),
        (flaky.id, "done", None),
    ]


def test_the_stores_own_trouble_is_tried_again(store: Store) -> None:
    """A database that was away for a moment does not end a job for good."""
    (step,) = record(store)
    store.jobs.enqueue(step.id, max_attempts=2)

    def explain_without_a_store(step: Step, job: Job) -> list[Attribution]:
        raise StoreError("The store was held by another process: try again.")

    results = []
    for outcome in work_off(store, explain_without_a_store):
        results.append(outcome.result)
        make_due(store)
    assert results == ["retried", "dead"]


def test_results_that_cannot_be_stored_cost_the_job_not_the_worker(store: Store) -> None:
    """Else every worker that takes it would end."""
    first, second = record(store, 2)
    store.jobs.enqueue(first.id, max_attempts=1, priority=1)
    store.jobs.enqueue(second.id)

    def explain_oddly(step: Step, job: Job) -> list[Attribution]:
        (found,) = explain(step, job)
        return [replace(found, scores=found.scores * np.nan) if step.id == first.id else found]

    outcomes = list(work_off(store, explain_oddly))
    assert [outcome.result for outcome in outcomes] == ["dead", "done"]
    assert "no finite numbers" in str(store.jobs.dead()[0].error)


def test_a_job_whose_step_is_deleted_meanwhile_is_lost(store: Store) -> None:
    """There is nothing to fail."""
    (step,) = record(store)
    store.jobs.enqueue(step.id)

    def delete_then_fail(step: Step, job: Job) -> list[Attribution]:
        store.delete_trace(step.trace_id)
        raise TargetError("There is no such target.")

    outcomes = work_off(store, delete_then_fail)
    assert [outcome.result for outcome in outcomes] == ["lost"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ModelFileError("no model")])
def test_an_interrupted_job_is_given_back(store: Store, error: BaseException) -> None:
    """It costs no attempt; nor does a model that cannot be loaded."""
    (step,) = record(store)
    store.jobs.enqueue(step.id)

    def interrupt(step: Step, job: Job) -> list[Attribution]:
        raise error

    with pytest.raises(type(error)):
        list(work_off(store, interrupt))
    assert store.jobs.lease("me")[0].attempts == 1


def test_a_stopped_worker_finishes_the_job_at_hand(store: Store) -> None:
    """And begins no other."""
    for step in record(store, 3):
        store.jobs.enqueue(step.id)
    stop = threading.Event()

    def explain_and_stop(step: Step, job: Job) -> list[Attribution]:
        stop.set()
        return explain(step, job)

    assert len(list(work(store, explain_and_stop, worker="me", stop=stop, watch=True))) == 1
    assert store.jobs.counts()["queued"] == 2


def test_a_long_job_keeps_its_lease(store: Store) -> None:
    """Others find it taken though it takes longer than a lease."""
    (step,) = record(store)
    store.jobs.enqueue(step.id)
    taken: list[Job] = []

    def explain_slowly(step: Step, job: Job) -> list[Attribution]:
        for _ in range(8):
            time.sleep(0.5)
            taken.extend(store.jobs.lease("other"))
        return explain(step, job)

    outcomes = work(store, explain_slowly, worker="me", stop=threading.Event(), watch=False, lease_s=3.0)
    assert [outcome.result for outcome in outcomes] == ["done"]
    assert taken == []


def test_threads_share_a_queue(store: Store) -> None:
    """Each job is computed once."""
    for step in record(store, 24):
        store.jobs.enqueue(step.id)

    def run(number: int) -> list[str]:
        outcomes = work_off(store, worker=str(number))
        return [outcome.job.id for outcome in outcomes if outcome.result == "done"]

    with ThreadPoolExecutor(4) as pool:
        done = [job for jobs in pool.map(run, range(4)) for job in jobs]
    assert len(done) == len(set(done)) == 24


WORKER = """
import sys, threading, time
from flashtrace_agent.store import Store
from flashtrace_agent.store.work import work
from tests.store.queued import explain

def slowly(step, job):
    print("begin", job.id, flush=True)
    time.sleep(float(sys.argv[2]))
    return explain(step, job)

for outcome in work(Store(sys.argv[1]), slowly, worker="w", stop=threading.Event(), watch=False, lease_s=5.0):
    print(outcome.result, outcome.job.id, flush=True)
"""


def start_worker(url: str, seconds: float) -> subprocess.Popen[str]:
    """Start a process that works the queue off, taking `seconds` for a job."""
    command = [sys.executable, "-c", WORKER, url, str(seconds)]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE)


def test_a_killed_workers_job_is_taken_up_again(store: Store) -> None:
    """Processes share the queue; no job is lost and none is done twice."""
    steps = record(store, 30)
    for step in steps:
        store.jobs.enqueue(step.id)
    victim = start_worker(store.url, 60)
    assert victim.stdout is not None
    held = victim.stdout.readline().split()[1]
    victim.kill()
    victim.communicate()
    workers = [start_worker(store.url, 0.01) for _ in range(3)]
    done = [
        line.split()[1]
        for each in workers
        for line in each.communicate(timeout=300)[0].splitlines()
        if line.startswith("done")
    ]
    assert len(done) == len(set(done)) == 30
    assert held in done
    assert all(len(store.get_attributions(step.id)) == 1 for step in steps)


def test_the_longest_of_a_batch_goes_first_and_others_find_work(store: Store) -> None:
    """A worker holds an eighth of what is open, so a second one is not left idle."""
    trace = make_trace()
    lengths = [3, 9, 5, 7] * 4
    steps = [
        make_model_step(trace, number, prompt_ids=[1] * length, completion_ids=[2])
        for number, length in enumerate(lengths)
    ]
    store.write_steps(steps)
    store.jobs.enqueue_steps([step.id for step in steps])
    computed: list[int] = []
    others: list[int] = []

    def explain_beside_another(step: Step, job: Job) -> list[Attribution]:
        if not others:
            others.append(len(store.jobs.lease("other", count=16, seconds=0.5)))
        computed.append(job.tokens)
        return explain(step, job)

    stop = threading.Event()
    assert len(list(work(store, explain_beside_another, worker="me", stop=stop, watch=False))) == 16
    assert others == [14]
    assert computed[:2] == sorted(computed[:2], reverse=True)
    assert sorted(computed) == sorted(length + 1 for length in lengths)


def test_a_batch_that_is_left_is_given_back(store: Store) -> None:
    """Whoever stops asking for outcomes holds nothing."""
    for step in record(store, 32):
        store.jobs.enqueue(step.id)
    outcomes = work_off(store)
    next(outcomes)
    assert store.jobs.counts()["leased"] == 3
    outcomes.close()  # type: ignore[attr-defined]
    assert store.jobs.counts() == {"queued": 31, "leased": 0, "done": 1, "dead": 0}
