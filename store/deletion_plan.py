"""What a deletion would take, before anything goes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from .maintenance import used_bytes
from .schema import AttributionRow, StepRow, TraceRow


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """What would be deleted: ids of traces, oldest first, and what belongs to them."""

    ids: list[str]
    steps: int
    attributions: int


def plan_deletion(session: Session, where: ColumnElement[bool] | None, max_bytes: int | None) -> DeletionPlan:
    """Return which traces to delete.

    Args:
        session: to read.
        where: only traces that meet this condition; None for all.
        max_bytes: only the oldest, until the store takes no more than this. How much a trace
            frees is estimated by its number of steps, since traces share what they have in common.
    """
    steps = select(func.count()).where(StepRow.trace_id == TraceRow.id).scalar_subquery()
    attributions = (
        select(func.count())
        .select_from(AttributionRow)
        .join(StepRow, StepRow.id == AttributionRow.step_id)
        .where(StepRow.trace_id == TraceRow.id)
        .scalar_subquery()
    )
    query = select(TraceRow.id, steps, attributions).order_by(TraceRow.id)
    rows = session.execute(query if where is None else query.where(where)).all()
    if max_bytes is not None:
        used = used_bytes(session)
        weight = session.scalar(select(func.count()).select_from(StepRow)) or 0
        weight += session.scalar(select(func.count()).select_from(TraceRow)) or 0
        excess = (used - max_bytes) / max(used, 1) * weight
        chosen = 0
        while chosen < len(rows) and excess > 0:
            excess -= 1 + rows[chosen][1]
            chosen += 1
        rows = rows[:chosen]
    return DeletionPlan([row[0] for row in rows], sum(row[1] for row in rows), sum(row[2] for row in rows))
