"""What became of queued jobs: to look at, to export and to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, select, text
from sqlalchemy.orm import Session

from .schema import OPEN_JOBS, JobRow, StepRow
from .upsert import insert_new

JobStatus = Literal["queued", "leased", "done", "dead"]

_TIMES = ("created_at", "due_at", "finished_at")


@dataclass(frozen=True, slots=True)
class JobState:
    """A job and what became of it.

    Attributes:
        targets: names of targets; None for everything the step wrote.
        check: whether the results are to be checked as well.
        review: the review whose idle lines are to be checked, and nothing attributed; else None.
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
    check: bool
    priority: int
    status: JobStatus
    attempts: int
    max_attempts: int
    created_at: datetime
    due_at: datetime
    finished_at: datetime | None
    worker: str | None
    error: str | None
    review: Mapping[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done: it waits, or a worker computes it."""
        return self.status in ("queued", "leased")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; times are ISO 8601 UTC. `from_dict` undoes it."""
        data = asdict(self)
        for name in _TIMES:
            data[name] = None if data[name] is None else data[name].isoformat()
        return {"id": data.pop("id"), "trace": data.pop("trace_id"), "step": data.pop("step_id"), **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobState:
        """Undo `to_dict`.

        Raises:
            TypeError, ValueError, KeyError: if the data is not one.
        """
        content = dict(data)
        content["trace_id"], content["step_id"] = content.pop("trace"), content.pop("step")
        if content["targets"] is not None:
            content["targets"] = tuple(content["targets"])
        for name in _TIMES:
            if content[name] is not None:
                content[name] = datetime.fromisoformat(content[name])
        return cls(**content)

    def unleased(self) -> JobState:
        """Return the job as its worker would give it back: waiting, and not tried this time."""
        if self.status != "leased":
            return self
        return replace(self, status="queued", attempts=self.attempts - 1, due_at=self.created_at, worker=None)


_COLUMNS = {
    field.name: {"hops": "hop_count", "check": "wants_check"}.get(field.name, field.name)
    for field in fields(JobState)
    if field.name != "trace_id"
}
"""Where each attribute of a job is stored; the trace is that of its step."""


def job_by_id(session: Session, job_id: str) -> JobState | None:
    """Return a job, or None if there is none with this id."""
    return next(iter(_read(session, JobRow.id == job_id, order=(JobRow.id,), limit=1)), None)


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


def jobs_of_trace(session: Session, trace_id: str) -> list[JobState]:
    """Return every job of a trace's steps, the oldest first."""
    return _read(session, StepRow.trace_id == trace_id, order=(JobRow.created_at, JobRow.id), limit=None)


def write_job_states(connection: Connection, jobs: Sequence[JobState]) -> None:
    """Store jobs of stored steps, inside a write transaction; those that are there stay as they are."""
    rows = [
        {column: getattr(job, name) for name, column in _COLUMNS.items()}
        for job in map(JobState.unleased, jobs)
    ]
    insert_new(connection, JobRow, rows)


def _read(session: Session, condition: Any, *, order: Any, limit: int | None) -> list[JobState]:
    query = (
        select(JobRow, StepRow.trace_id)
        .join(StepRow, StepRow.id == JobRow.step_id)
        .where(condition)
        .order_by(*order)
        .limit(limit)
    )
    return [_state(row, trace_id) for row, trace_id in session.execute(query)]


def _state(row: JobRow, trace_id: str) -> JobState:
    values = {name: getattr(row, column) for name, column in _COLUMNS.items()}
    if values["targets"] is not None:
        values["targets"] = tuple(values["targets"])
    return JobState(trace_id=trace_id, **values)
