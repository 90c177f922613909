"""Check references that are no foreign keys of the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import and_, func, select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from flashtrace_agent.trajectory import Trajectory

from .check_rows import Problem, problems_by_row
from .damage import UNREADABLE
from .schema import (
    AblationRow,
    AnnotationRow,
    MessageNumberRow,
    MessageRow,
    MessageTraceRow,
    StepRow,
    TrajectoryRow,
)


def reference_problems(session: Session) -> Iterator[Problem]:
    """Yield rows that refer to what is not there, or to what they may not."""
    yield from _message_references(session)
    yield from _annotation_problems(session)
    yield from _trajectory_problems(session)
    yield from _ablation_problems(session)


def _message_references(session: Session) -> Iterator[Problem]:
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


def _annotation_problems(session: Session) -> Iterator[Problem]:
    strangers = (
        select(AnnotationRow.id)
        .join(StepRow, StepRow.id == AnnotationRow.step_id)
        .where(StepRow.trace_id != AnnotationRow.trace_id)
    )
    for annotation_id in session.scalars(strangers):
        yield Problem("annotations", annotation_id, "it is about a step of another trace")


def _trajectory_problems(session: Session) -> Iterator[Problem]:
    def look(row: Any) -> Iterator[Problem]:
        trajectory = Trajectory.from_dict(row.data)
        if (trajectory.trace_id, trajectory.step_id) != (row.trace_id, row.step_id):
            yield Problem("trajectories", row.id, "it is one of another step")

    query = select(TrajectoryRow.id, TrajectoryRow.step_id, StepRow.trace_id, TrajectoryRow.data)
    query = query.join(StepRow, StepRow.id == TrajectoryRow.step_id)
    return problems_by_row(session, query, TrajectoryRow.id, look)


def _ablation_problems(session: Session) -> Iterator[Problem]:
    stored: list[Any] = [type_coerce(column, NullType()) for column in (AblationRow.data, AblationRow.steps)]
    query = select(AblationRow.id, AblationRow.step_id, *stored)
    for proof, step_id, content, steps in session.execute(query.execution_options(yield_per=1000)):
        try:
            is_whole = isinstance(json.loads(content), dict) and int(steps) > 0
        except UNREADABLE:
            is_whole = False
        if not is_whole:
            yield Problem("ablations", f"{proof} {step_id}", "it cannot be read")
