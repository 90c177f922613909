"""Check references that are no foreign keys of the database."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from flashtrace_agent.trajectory import Trajectory

from .check_rows import Problem, one_sentence, rows_by_key
from .damage import UNREADABLE
from .schema import (
    AnnotationRow,
    MessageNumberRow,
    MessageRow,
    MessageTraceRow,
    StepRow,
    TraceRow,
    TrajectoryRow,
)


def reference_problems(session: Session) -> Iterator[Problem]:
    """Yield rows that refer to what is not there, or to what they may not."""
    last = func.coalesce(StepRow.output_digest, StepRow.input_digest)
    orphans = (
        select(StepRow.id)
        .outerjoin(MessageRow, MessageRow.digest == last)
        .where(last.is_not(None), MessageRow.digest.is_(None))
    )
    for step_id in session.scalars(orphans):
        yield Problem("steps", step_id, "its messages are not there")
    # A message is noted with all before it, so the last one vouches for a step's whole history.
    noted = and_(
        MessageTraceRow.message_id == MessageNumberRow.id, MessageTraceRow.trace_id == StepRow.trace_id
    )
    unfindable = (
        select(StepRow.id)
        .join(MessageNumberRow, MessageNumberRow.digest == last)
        .outerjoin(MessageTraceRow, noted)
        .where(MessageTraceRow.trace_id.is_(None))
    )
    for step_id in session.scalars(unfindable):
        yield Problem("steps", step_id, "full-text search does not find its trace by its messages")
    ghosts = (
        select(MessageTraceRow.trace_id)
        .outerjoin(TraceRow, TraceRow.id == MessageTraceRow.trace_id)
        .where(TraceRow.id.is_(None))
        .distinct()
    )
    for trace_id in session.scalars(ghosts):
        yield Problem("message_traces", trace_id, "full-text search finds a trace that is not there")
    strangers = (
        select(AnnotationRow.id)
        .join(StepRow, StepRow.id == AnnotationRow.step_id)
        .where(StepRow.trace_id != AnnotationRow.trace_id)
    )
    for annotation_id in session.scalars(strangers):
        yield Problem("annotations", annotation_id, "it is about a step of another trace")
    query = select(TrajectoryRow.id, TrajectoryRow.step_id, StepRow.trace_id, TrajectoryRow.data)
    query = query.join(StepRow, StepRow.id == TrajectoryRow.step_id)
    for row in rows_by_key(session, query, TrajectoryRow.id):
        if isinstance(row, Problem):
            yield row
            continue
        try:
            trajectory = Trajectory.from_dict(row.data)
        except UNREADABLE as error:
            yield Problem("trajectories", row.id, f"it cannot be read ({one_sentence(error)})")
            continue
        if (trajectory.trace_id, trajectory.step_id) != (row.trace_id, row.step_id):
            yield Problem("trajectories", row.id, "it is one of another step")
