"""What became of queued jobs, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from .schema import OPEN_JOBS, JobRow, StepRow


@dataclass(frozen=True, slots=True)
class JobState:
    """A job and what became of it.

    Attributes:
        targets: names of targets; None for everything the step wrote.
        status: ``queued``, ``leased`` (a worker computes it), ``done`` or ``dead``.
        due_at: when it may be taken; for a leased one, when its lease runs out.
        worker: who took it last.
        error: what went wrong last.
    """

    id: str
    trace_id: str
    step_id: str
    targets: tuple[str, ...] | None
    method: str
    hops: int
    status: str
    attempts: int
    max_attempts: int
    created_at: datetime
    due_at: datetime
    finished_at: datetime | None
    worker: str | None
    error: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; times are ISO 8601 UTC."""
        return {
            "id": self.id,
            "trace": self.trace_id,
            "step": self.step_id,
            "targets": None if self.targets is None else list(self.targets),
            "method": self.method,
            "hops": self.hops,
            "status": self.status,
            "attempts": self.attempts,
            "max_attempts": self.max_attempts,
            "created_at": self.created_at.isoformat(),
            "due_at": self.due_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "worker": self.worker,
            "error": self.error,
        }


def open_jobs(session: Session, limit: int) -> list[JobState]:
    """Return jobs that are queued or being computed, in the order workers take them."""
    order = (-JobRow.priority, JobRow.due_at, JobRow.id)
    return _read(session, text(f"jobs.{OPEN_JOBS}"), order=order, limit=limit)


def dead_jobs(session: Session, limit: int) -> list[JobState]:
    """Return jobs that failed for good, the latest first."""
    return _read(session, JobRow.status == "dead", order=(JobRow.finished_at.desc(),), limit=limit)


def jobs_of_step(session: Session, step_id: str) -> list[JobState]:
    """Return every job of a step, the oldest first."""
    return _read(session, JobRow.step_id == step_id, order=(JobRow.created_at, JobRow.id), limit=None)


def _read(session: Session, condition: Any, *, order: Any, limit: int | None) -> list[JobState]:
    query = (
        select(JobRow, StepRow.trace_id)
        .join(StepRow, StepRow.id == JobRow.step_id)
        .where(condition)
        .order_by(*order)
        .limit(limit)
    )
    return [
        JobState(
            id=row.id,
            trace_id=trace_id,
            step_id=row.step_id,
            targets=None if row.targets is None else tuple(row.targets),
            method=row.method,
            hops=row.hop_count,
            status=row.status,
            attempts=row.attempts,
            max_attempts=row.max_attempts,
            created_at=row.created_at,
            due_at=row.due_at,
            finished_at=row.finished_at,
            worker=row.worker,
            error=row.error,
        )
        for row, trace_id in session.execute(query)
    ]
