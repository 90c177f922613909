"""Sessions: runs that belong together, as one user's conversation does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from .schema import TraceRow


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What a listing shows of a session.

    Attributes:
        traces: number of its traces; where there is a filter, of those it finds.
        latest_at: when the latest of them began.
        latest_name: that one's name.
        latest_status: that one's status.
    """

    session: str
    traces: int
    latest_at: datetime
    latest_name: str
    latest_status: str


def list_session_rows(
    session: Session, *, limit: int, before: str | None, where: ColumnElement[bool] | None
) -> tuple[list[SessionSummary], str | None]:
    """Return sessions, that with the latest trace first, and the `before` of the page after.

    The index on session and id answers this by itself; other columns are read of the few found.
    """
    latest: Any = func.max(TraceRow.id)
    query = (
        select(TraceRow.session, latest.label("latest"), func.count().label("traces"))
        .where(TraceRow.session.is_not(None))
        .group_by(TraceRow.session)
        .order_by(latest.desc())
        .limit(limit + 1)
    )
    if where is not None:
        query = query.where(where)
    if before is not None:
        query = query.having(latest < before)
    found = session.execute(query).all()
    more = len(found) > limit
    found = found[:limit]
    newest = aliased(TraceRow)
    heads = {
        row.id: row
        for row in session.scalars(select(newest).where(newest.id.in_([row.latest for row in found])))
    }
    summaries = [
        SessionSummary(
            row.session,
            row.traces,
            heads[row.latest].started_at,
            heads[row.latest].name,
            heads[row.latest].status,
        )
        for row in found
    ]
    return summaries, found[-1].latest if more else None
