"""Take jobs, hold them and end them, inside write transactions; see `flashtrace_agent.store.job_queue`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, select, text, update

from flashtrace_agent.trace import utc_now

from .schema import OPEN_JOBS, JobRow, StepRow

LEASE_S = 300.0
"""How long a worker may be silent before its job is given to another."""

FIRST_DELAY_S, LONGEST_DELAY_S = 5.0, 3600.0
"""Back-off after the first failure, doubled with each further one up to the longest."""


@dataclass(frozen=True, slots=True)
class Job:
    """A leased job.

    Attributes:
        targets: names of targets; None for everything the step wrote.
        attempts: how often it has been leased, this time included.
        lease: proves that it is still ours.
        tokens: how long the step's sequence is.
        check: whether the results are to be checked as well (`flashtrace_agent.check`).
        review: the review whose idle lines are to be checked, and nothing attributed; else None.
    """

    id: str
    step_id: str
    targets: tuple[str, ...] | None
    method: str
    hops: int
    priority: int
    attempts: int
    lease: str
    tokens: int
    check: bool
    review: Mapping[str, Any] | None = None


def lease_jobs(
    connection: Connection, worker: str, *, count: int, seconds: float, only: Sequence[str] | None
) -> list[Job]:
    """Take up to `count` jobs that are due; see `JobQueue.lease`."""
    now = utc_now()
    due = _due(now, only)
    taken: list[Job] = []
    while len(taken) < count:
        rows = connection.execute(due.limit(count - len(taken))).all()
        if not rows:
            break
        for row in rows:
            if row.attempts >= row.max_attempts:
                error = f"Worker {row.worker} ended without a word at attempt {row.attempts}."
                _set(connection, row.id, status="dead", lease=None, error=error, finished_at=now)
                continue
            job = _job(row)
            _set(
                connection,
                job.id,
                status="leased",
                lease=job.lease,
                worker=worker,
                attempts=job.attempts,
                due_at=now + timedelta(seconds=seconds),
            )
            taken.append(job)
    return taken


def change_job(connection: Connection, job: Job, **values: object) -> bool:
    """Give a job's row new values; False, and nothing, if the job is no longer ours."""
    ours = (JobRow.id == job.id, JobRow.status == "leased", JobRow.lease == job.lease)
    return connection.execute(update(JobRow).where(*ours).values(**values)).rowcount == 1


def fail_job(
    connection: Connection, job: Job, error: str, *, retry: bool
) -> Literal["retried", "dead", "lost"]:
    """Give a job back with what went wrong; see `JobQueue.fail`."""
    limit = connection.scalar(select(JobRow.max_attempts).where(JobRow.id == job.id)) or 0
    if retry and job.attempts < limit:
        delay = min(FIRST_DELAY_S * 2 ** (job.attempts - 1), LONGEST_DELAY_S)
        is_ours = change_job(connection, job, status="queued", error=error, due_at=later(delay), lease=None)
        return "retried" if is_ours else "lost"
    is_ours = change_job(connection, job, status="dead", error=error, finished_at=utc_now(), lease=None)
    return "dead" if is_ours else "lost"


def later(seconds: float) -> datetime:
    """Return the time so many seconds from now."""
    return utc_now() + timedelta(seconds=seconds)


def _due(now: datetime, only: Sequence[str] | None) -> Select[Any]:
    tokens = select(StepRow.tokens).where(StepRow.id == JobRow.step_id).scalar_subquery()
    due = (
        select(*JobRow.__table__.c, tokens.label("tokens"))
        .where(text(OPEN_JOBS), JobRow.due_at <= now)
        .order_by(-JobRow.priority, JobRow.due_at, JobRow.id)
        .with_for_update(skip_locked=True)
    )
    return due if only is None else due.where(JobRow.id.in_(only))


def _job(row: Row[Any]) -> Job:
    """Return a job as it is once it is leased."""
    return Job(
        id=row.id,
        step_id=row.step_id,
        targets=None if row.targets is None else tuple(row.targets),
        method=row.method,
        hops=row.hop_count,
        priority=row.priority,
        attempts=row.attempts + 1,
        lease=secrets.token_hex(8),
        tokens=row.tokens or 0,
        check=row.wants_check,
        review=row.review,
    )


def _set(connection: Connection, job_id: str, **values: object) -> None:
    connection.execute(update(JobRow).where(JobRow.id == job_id).values(**values))
