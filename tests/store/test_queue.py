"""Jobs are done once, whoever dies when."""

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
from sqlalchemy import event

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.errors import ModelFileError, StoreError, TargetError
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import work
from flashtrace_agent.trace import Step

from .examples import make_attribution, make_model_step, make_tool_step, make_trace

REPOSITORY = Path(__file__).resolve().parents[2]


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


def test_a_job_is_leased_completed_and_gone(store: Store) -> None:
    """Its results are stored with its end."""
    (step,) = record(store)
    job_id = store.jobs.enqueue(step.id, ["answer", "tool_name"], hops=2, priority=3)
    (job,) = store.jobs.lease("me")
    assert (job.id, job.step_id, job.targets, job.hops) == (job_id, step.id, ("answer", "tool_name"), 2)
    assert store.jobs.lease("other") == []
    assert store.jobs.complete(job, explain(step, job))
    assert len(store.get_attributions(step.id)) == 1
    assert store.jobs.counts() == {"queued": 0, "leased": 0, "done": 1, "dead": 0}
    assert store.jobs.next_due() is None


def test_the_same_request_is_the_same_job(store: Store) -> None:
    """Also after it is done; another target, method or number of hops is another job."""
    (step,) = record(store)
    first = store.jobs.enqueue(step.id)
    (job,) = store.jobs.lease("me")
    store.jobs.complete(job, [])
    assert store.jobs.enqueue(step.id) == first
    assert store.jobs.lease("me") == []
    others = [
        store.jobs.enqueue(step.id, ["answer"]),
        store.jobs.enqueue(step.id, hops=2),
        store.jobs.enqueue(step.id, method="gradient"),
    ]
    assert len({first, *others}) == 4


def test_a_step_must_be_stored_before_it_is_queued(store: Store) -> None:
    """One sentence says so."""
    with pytest.raises(StoreError, match="write the step before queueing it"):
        store.jobs.enqueue("nowhere")


def test_higher_priority_goes_first_then_the_longest_waiting(store: Store) -> None:
    """And a lease may take several."""
    steps = record(store, 3)
    for step, priority in zip(steps, (0, 5, 0), strict=True):
        store.jobs.enqueue(step.id, priority=priority)
    order = [job.step_id for job in store.jobs.lease("me", count=10)]
    assert order == [steps[1].id, steps[0].id, steps[2].id]


def test_only_the_holder_of_the_lease_may_end_a_job(store: Store) -> None:
    """A worker that was taken for dead writes nothing any more."""
    (step,) = record(store)
    store.jobs.enqueue(step.id)
    (late,) = store.jobs.lease("slow", seconds=-1)
    (taken,) = store.jobs.lease("quick")
    assert taken.attempts == 2
    assert not store.jobs.complete(late, explain(step, late))
    assert store.jobs.fail(late, "late") == "lost"
    assert not store.jobs.extend(late)
    assert not store.jobs.release(late)
    assert store.get_attributions(step.id) == []
    assert store.jobs.extend(taken, -1)
    (again,) = store.jobs.lease("third")
    assert store.jobs.complete(again, explain(step, again))


def test_a_failed_job_backs_off_and_ends_dead_with_its_error(store: Store) -> None:
    """The wait doubles; retry revives it."""
    (step,) = record(store)
    store.jobs.enqueue(step.id, max_attempts=3)
    waits = []
    for number in range(3):
        (job,) = store.jobs.lease("me")
        before = time.time()
        assert store.jobs.fail(job, f"error {number}") == ("dead" if number == 2 else "retried")
        due = store.jobs.next_due()
        waits.append(None if due is None else round(due.timestamp() - before))
        assert store.jobs.lease("me") == []
        with store._write() as connection:
            connection.exec_driver_sql("UPDATE jobs SET due_at = 0 WHERE status = 'queued'")
    assert waits == [5, 10, None]
    assert [(job.step_id, job.error) for job in store.jobs.dead()] == [(step.id, "error 2")]
    assert store.jobs.retry() == 1
    assert store.jobs.lease("me")[0].attempts == 1


def test_a_job_that_kills_its_workers_ends_dead(store: Store) -> None:
    """It must not go round for ever."""
    (step,) = record(store)
    store.jobs.enqueue(step.id, max_attempts=2)
    for _ in range(2):
        assert len(store.jobs.lease("victim", seconds=-1)) == 1
    assert store.jobs.lease("me") == []
    assert [job.error for job in store.jobs.dead()] == ["Worker victim ended without a word at attempt 2."]


def test_steps_are_queued_by_filter(store: Store) -> None:
    """Those with ids and without attributions, each once."""
    steps = record(store, 3)
    trace = make_trace()
    store.write_step(make_tool_step(trace, 5, steps[0]))
    store.write_step(make_model_step(trace, 6, prompt_ids=None))
    known = make_attribution(steps[0].token_ids or [], method=DEFAULT_METHOD)
    store.write_attribution(steps[0].id, known)
    assert store.jobs.enqueue_where("tool = other") == 0
    assert store.jobs.enqueue_where("tool = sofas") == 2
    assert store.jobs.enqueue_where() == 0
    assert {job.step_id for job in store.jobs.lease("me", count=9)} == {steps[1].id, steps[2].id}


def test_deleting_a_trace_takes_its_jobs(store: Store) -> None:
    """The worker that holds one finds it gone."""
    (step,) = record(store)
    store.jobs.enqueue(step.id)
    (job,) = store.jobs.lease("me")
    store.delete_trace(step.trace_id)
    assert not store.jobs.complete(job, explain(step, job))
    assert sum(store.jobs.counts().values()) == 0


def test_work_ends_when_nothing_is_open(store: Store) -> None:
    """Every job is done, in order."""
    for step in record(store, 3):
        store.jobs.enqueue(step.id)
    outcomes = list(work(store, explain, worker="me", stop=threading.Event(), watch=False))
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
    for outcome in work(store, explain_badly, worker="me", stop=threading.Event(), watch=False):
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
    for outcome in work(store, explain_without_a_store, worker="me", stop=threading.Event(), watch=False):
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

    outcomes = list(work(store, explain_oddly, worker="me", stop=threading.Event(), watch=False))
    assert [outcome.result for outcome in outcomes] == ["dead", "done"]
    assert "no finite numbers" in str(store.jobs.dead()[0].error)


def test_a_job_whose_step_is_deleted_meanwhile_is_lost(store: Store) -> None:
    """There is nothing to fail."""
    (step,) = record(store)
    store.jobs.enqueue(step.id)

    def delete_then_fail(step: Step, job: Job) -> list[Attribution]:
        store.delete_trace(step.trace_id)
        raise TargetError("There is no such target.")

    outcomes = work(store, delete_then_fail, worker="me", stop=threading.Event(), watch=False)
    assert [outcome.result for outcome in outcomes] == ["lost"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ModelFileError("no model")])
def test_an_interrupted_job_is_given_back(store: Store, error: BaseException) -> None:
    """It costs no attempt; nor does a model that cannot be loaded."""
    (step,) = record(store)
    store.jobs.enqueue(step.id)

    def interrupt(step: Step, job: Job) -> list[Attribution]:
        raise error

    with pytest.raises(type(error)):
        list(work(store, interrupt, worker="me", stop=threading.Event(), watch=False))
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
        outcomes = work(store, explain, worker=str(number), stop=threading.Event(), watch=False)
        return [outcome.job.id for outcome in outcomes if outcome.result == "done"]

    with ThreadPoolExecutor(4) as pool:
        done = [job for jobs in pool.map(run, range(4)) for job in jobs]
    assert len(done) == len(set(done)) == 24


WORKER = """
import sys, threading, time
from flashtrace_agent.store import Store
from flashtrace_agent.store.work import work
from tests.store.test_queue import explain

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


def test_jobs_are_taken_by_name(store: Store) -> None:
    """As a process does that computes only what it queued itself."""
    first, second = store.jobs.enqueue_steps([step.id for step in record(store, 2)])
    assert [job.id for job in store.jobs.lease("me", count=9, only=[second])] == [second]
    assert [job.id for job in store.jobs.lease("me", count=9, only=[first, second])] == [first]


def test_steps_are_queued_together_or_not_at_all(store: Store) -> None:
    """One that is not stored keeps the others out."""
    (step,) = record(store)
    with pytest.raises(StoreError, match="Step nowhere is not in the store"):
        store.jobs.enqueue_steps([step.id, "nowhere"])
    assert store.jobs.counts()["queued"] == 0


def test_a_batch_that_is_left_is_given_back(store: Store) -> None:
    """Whoever stops asking for outcomes holds nothing."""
    for step in record(store, 32):
        store.jobs.enqueue(step.id)
    outcomes = work(store, explain, worker="me", stop=threading.Event(), watch=False)
    next(outcomes)
    assert store.jobs.counts()["leased"] == 3
    outcomes.close()  # type: ignore[attr-defined]
    assert store.jobs.counts() == {"queued": 31, "leased": 0, "done": 1, "dead": 0}


def test_taking_a_job_sorts_no_queue(empty_copy: str) -> None:
    """SQLite finds the next one in the order of an index, however many wait."""
    asked: list[tuple[str, object]] = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        asked.append((statement, parameters))

    with Store(empty_copy) as store:
        event.listen(store._engine, "before_cursor_execute", note)
        store.jobs.lease("me")
        event.remove(store._engine, "before_cursor_execute", note)
        (query,) = [(sql, given) for sql, given in asked if sql.startswith("SELECT")]
        with store._engine.connect() as connection:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query[0]}", query[1])]
    assert "USING INDEX ix_jobs_open" in plan[0]
    assert not any("TEMP B-TREE" in line for line in plan), plan


def test_a_check_is_a_request_of_its_own(store: Store) -> None:
    """The same attribution asked for with and without a check are two jobs, and the worker can tell."""
    (step,) = record(store)
    plain = store.jobs.enqueue(step.id, ["answer"])
    checked = store.jobs.enqueue(step.id, ["answer"], check=True)
    assert plain != checked
    leased = {job.id: job.check for job in store.jobs.lease("w", count=2)}
    assert leased == {plain: False, checked: True}
