"""Delete a trace and what nothing else refers to.

After the trace's own rows, each shared row they referred to goes if no row is left that refers
to it; for chains the question moves on to the parent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from .chains import Link, batches
from .full_text import forget_messages, unlink_trace
from .maintenance import used_bytes
from .schema import (
    AttributionRow,
    DocumentRow,
    MessageRow,
    StepRow,
    TagRow,
    TextChunkRow,
    TokenChunkRow,
    TraceRow,
)

Shared = Link | DocumentRow
Reference = tuple[type[Shared], InstrumentedAttribute[str | None]]

_STEP_REFERENCES: tuple[Reference, ...] = (
    (MessageRow, StepRow.input_digest),
    (MessageRow, StepRow.output_digest),
    (TokenChunkRow, StepRow.tokens_digest),
    (DocumentRow, StepRow.tools_digest),
    (DocumentRow, StepRow.settings_digest),
)
_ATTRIBUTION_REFERENCES: tuple[Reference, ...] = (
    (TokenChunkRow, AttributionRow.ids_digest),
    (TextChunkRow, AttributionRow.texts_digest),
    (DocumentRow, AttributionRow.segments_digest),
    (DocumentRow, AttributionRow.settings_digest),
)
_REFERENCES = _STEP_REFERENCES + _ATTRIBUTION_REFERENCES


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
        where: only traces that meet this condition.
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


def delete_trace_rows(connection: Connection, trace_id: str) -> None:
    """Delete a trace, inside a write transaction."""
    steps = select(StepRow.id).where(StepRow.trace_id == trace_id)
    referred: dict[type[Shared], set[str]] = {}
    for row_type, column in _STEP_REFERENCES:
        query = select(column).where(StepRow.trace_id == trace_id, column.is_not(None)).distinct()
        referred.setdefault(row_type, set()).update(d for d in connection.scalars(query) if d)
    for row_type, column in _ATTRIBUTION_REFERENCES:
        query = select(column).where(AttributionRow.step_id.in_(steps), column.is_not(None)).distinct()
        referred.setdefault(row_type, set()).update(d for d in connection.scalars(query) if d)
    unlink_trace(connection, trace_id, referred[MessageRow])
    connection.execute(delete(AttributionRow).where(AttributionRow.step_id.in_(steps)))
    connection.execute(delete(StepRow).where(StepRow.trace_id == trace_id))
    connection.execute(delete(TagRow).where(TagRow.trace_id == trace_id))
    connection.execute(delete(TraceRow).where(TraceRow.id == trace_id))
    for row_type, digests in referred.items():
        _sweep(connection, row_type, digests)


def _sweep(connection: Connection, row_type: type[Shared], digests: Iterable[str]) -> None:
    shared = row_type.__table__
    candidates = set(digests)
    while candidates:
        parents: set[str] = set()
        for batch in batches(sorted(candidates)):
            unused = (shared.c.digest.in_(batch), *_unreferenced(row_type))
            if "parent" in shared.c:
                parents.update(connection.scalars(select(shared.c.parent).where(*unused)))
            if row_type is MessageRow:
                forget_messages(connection, list(connection.scalars(select(shared.c.digest).where(*unused))))
            connection.execute(delete(row_type).where(*unused))
        candidates = parents - {None}


def _unreferenced(row_type: type[Shared]) -> list[ColumnElement[bool]]:
    shared = row_type.__table__
    referring: list[ColumnElement[str | None]] = [
        column.expression for target, column in _REFERENCES if target is row_type
    ]
    if "parent" in shared.c:
        referring.append(shared.alias().c.parent)
    return [~exists().where(column == shared.c.digest) for column in referring]
