"""A durable queue of attributions to be computed, in the same database as what they explain.

A worker leases a job for a while and extends the lease while it computes. A worker that dies lets
its lease run out, and the job is taken again. Every lease has a name of its own, and only the
holder of the current one can complete, fail or extend the job; results and the job's end are
written in one transaction. So a job is done once, whoever dies when. On SQLite each call is one
short immediate transaction; on PostgreSQL rows another worker is just taking are skipped
(`FOR UPDATE SKIP LOCKED`). Workers on several machines need clocks that agree within the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, Unpack

from sqlalchemy import ColumnElement, Connection, delete, func, select, text, update
from sqlalchemy.orm import Session

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.trace import utc_now

from .attributions import write_attribution_row
from .job_leases import LEASE_S, Job, change_job, fail_job, later, lease_jobs
from .job_list import JobState, dead_jobs, job_by_id, jobs_of_step, open_jobs
from .job_requests import JobOptions, write_job_rows
from .schema import OPEN_JOBS, JobRow
from .shared_rows import SharedRows
from .unattributed import unattributed_pages


class JobQueue:
    """The jobs of a store; get it from `Store.jobs`.

    Args:
        write: opens a write transaction.
        write_shared: runs a function in a write transaction with access to the shared rows.
        read: opens a session to read.
        condition: turns a filter into a condition on traces.
    """

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Connection]],
        write_shared: Callable[[Callable[[Connection, SharedRows], bool]], bool],
        read: Callable[[], AbstractContextManager[Session]],
        condition: Callable[[str | None], ColumnElement[bool] | None],
    ) -> None:
        self._write = write
        self._write_shared = write_shared
        self._read = read
        self._condition = condition

    def enqueue(
        self, step_id: str, targets: Sequence[str] | None = None, **options: Unpack[JobOptions]
    ) -> str:
        """Queue the attribution of a stored step and return the job's id.

        The same request again is the same job, whatever became of it; `retry` revives dead ones.

        Args:
            step_id: the full id.
            targets: names of targets; None for everything the step wrote.
            options: method, hops and so on.

        Raises:
            StoreError: if the step is not stored.
        """
        return self.enqueue_steps([step_id], targets, **options)[0]

    def enqueue_steps(
        self, step_ids: Sequence[str], targets: Sequence[str] | None = None, **options: Unpack[JobOptions]
    ) -> list[str]:
        """Queue the attribution of several stored steps, all or none; return the jobs' ids. See `enqueue`."""
        with self._write() as connection:
            return write_job_rows(connection, step_ids, targets, **options)

    def enqueue_review(self, step_id: str, review: Mapping[str, Any], *, priority: int = 0) -> str:
        """Queue the check of a review's idle lines and return the job's id; see `enqueue`.

        Args:
            step_id: a step of the review: the model that wrote it runs the check.
            review: what is reviewed, JSON-ready, as `flashtrace_agent.review.request` reads it.
            priority: higher ones are taken first.

        Raises:
            StoreError: if the step is not stored.
        """
        with self._write() as connection:
            return write_job_rows(connection, [step_id], priority=priority, review=review)[0]

    def get(self, job_id: str) -> JobState | None:
        """Return a job, or None if there is none with this id."""
        with self._read() as reading:
            return job_by_id(reading, job_id)

    def enqueue_where(self, where: str | None = None, **options: Unpack[JobOptions]) -> int:
        """Queue every model step with known ids and no attribution yet; return how many are new.

        Args:
            where: only in traces this filter finds.
            options: as for `enqueue`.

        Raises:
            FilterError: if the filter cannot be understood.
        """
        method = options.get("method", DEFAULT_METHOD)
        count = 0
        for ids in unattributed_pages(self._read, self._condition(where), method, queued=False):
            count += len(self.enqueue_steps(ids, **options))
        return count

    def unattributed(self, where: str | None = None, *, method: str = DEFAULT_METHOD) -> Iterator[str]:
        """Yield the ids of model steps with known ids and no attribution by a method yet, oldest first.

        Args:
            where: only in traces this filter finds.
            method: a registered method.

        Raises:
            FilterError: if the filter cannot be understood.
        """
        for ids in unattributed_pages(self._read, self._condition(where), method, queued=True):
            yield from ids

    def lease(
        self, worker: str, *, count: int = 1, seconds: float = LEASE_S, only: Sequence[str] | None = None
    ) -> list[Job]:
        """Take up to `count` jobs that are due: highest priority first, then longest waiting.

        A job whose worker died at its last attempt is not taken but marked dead.

        Args:
            worker: who takes them, for people to read.
            count: how many at most.
            seconds: until when they must be completed, failed or extended.
            only: the ids of the jobs that may be taken; None for all.
        """
        with self._write() as connection:
            return lease_jobs(connection, worker, count=count, seconds=seconds, only=only)

    def extend(self, job: Job, seconds: float = LEASE_S) -> bool:
        """Hold a job for `seconds` from now; False if it is no longer ours."""
        with self._write() as connection:
            return change_job(connection, job, due_at=later(seconds))

    def complete(self, job: Job, attributions: Sequence[Attribution]) -> bool:
        """Store a job's results and its end together; False, and nothing, if it is no longer ours."""

        def write(connection: Connection, shared: SharedRows) -> bool:
            if not change_job(connection, job, status="done", error=None, finished_at=utc_now(), lease=None):
                return False
            for attribution in attributions:
                write_attribution_row(connection, shared, job.step_id, attribution)
            return True

        return self._write_shared(write)

    def fail(self, job: Job, error: str, *, retry: bool = True) -> Literal["retried", "dead", "lost"]:
        """Give a job back with what went wrong; ``lost`` if it is no longer ours.

        It waits twice as long after each failure. Without `retry`, or after its last attempt, it
        is dead and keeps the error.
        """
        with self._write() as connection:
            return fail_job(connection, job, error, retry=retry)

    def release(self, job: Job) -> bool:
        """Give a job back untouched, as a worker does that is told to stop; False if not ours."""
        with self._write() as connection:
            return change_job(
                connection, job, status="queued", due_at=utc_now(), attempts=job.attempts - 1, lease=None
            )

    def retry(self, job_id: str | None = None) -> int:
        """Queue all dead jobs again, or one finished job, as if never tried; return how many."""
        values = {"status": "queued", "attempts": 0, "due_at": utc_now(), "finished_at": None}
        which = [JobRow.status == "dead"]
        if job_id is not None:
            which = [JobRow.id == job_id, JobRow.status.in_(("dead", "done"))]
        with self._write() as connection:
            return connection.execute(update(JobRow).where(*which).values(**values)).rowcount

    def cancel(self, job_id: str) -> bool:
        """Take a job that is not done out of the queue; False if there is none.

        A worker that is computing it finishes, but can no longer write what it found.
        """
        mine = (JobRow.id == job_id, JobRow.status != "done")
        with self._write() as connection:
            return connection.execute(delete(JobRow).where(*mine)).rowcount == 1

    def open(self, limit: int = 100) -> list[JobState]:
        """Return jobs that are queued or being computed, in the order workers take them."""
        with self._read() as reading:
            return open_jobs(reading, limit)

    def of_step(self, step_id: str) -> list[JobState]:
        """Return every job of a step, the oldest first."""
        with self._read() as reading:
            return jobs_of_step(reading, step_id)

    def count_open(self, most: int) -> int:
        """Return how many jobs are queued or leased, counting no further than `most`."""
        some = select(JobRow.id).where(text(OPEN_JOBS)).limit(most).subquery()
        with self._read() as reading:
            return reading.scalar(select(func.count()).select_from(some)) or 0

    def counts(self) -> dict[str, int]:
        """Return how many jobs are ``queued``, ``leased``, ``done`` and ``dead``."""
        counts = dict.fromkeys(("queued", "leased", "done", "dead"), 0)
        with self._read() as reading:
            for status, number in reading.execute(
                select(JobRow.status, func.count()).group_by(JobRow.status)
            ):
                counts[status] = number
        return counts

    def next_due(self) -> datetime | None:
        """Return when the next open job may be taken (also in the past); None if none is open."""
        with self._read() as reading:
            return reading.scalar(select(func.min(JobRow.due_at)).where(text(OPEN_JOBS)))

    def dead(self, limit: int = 20) -> list[JobState]:
        """Return jobs that failed for good, the latest first."""
        with self._read() as reading:
            return dead_jobs(reading, limit)
