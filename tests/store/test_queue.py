"""Jobs are queued, leased and ended."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import event

from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import Store

from .examples import make_attribution, make_model_step, make_tool_step, make_trace
from .queued import explain, record


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
