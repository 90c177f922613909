"""Check that every column holds what its type says; SQLite itself stores anything anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Double, String, Table, select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from flashtrace_agent.trace import Fidelity

from .check_rows import Problem, Tick, problems_by_row
from .column_types import Blob, Digest, Json, Label
from .damage import UNREADABLE
from .schema import (
    AnnotationRow,
    AttributionRow,
    Base,
    JobRow,
    MessageNumberRow,
    StepRow,
    TraceRow,
    TrajectoryRow,
    WorkerRow,
)

_TABLES: dict[str, type[Base]] = {
    row_type.__tablename__: row_type
    for row_type in (
        TraceRow,
        StepRow,
        AttributionRow,
        TrajectoryRow,
        AnnotationRow,
        JobRow,
        WorkerRow,
        MessageNumberRow,
    )
}
CHECKED_BY_VALUE = tuple(_TABLES)
"""Tables whose columns nothing else vouches for: no digest, no total."""

_ALLOWED: dict[tuple[str, str], tuple[str, ...]] = {
    ("traces", "status"): ("ok", "error", "incomplete"),
    ("steps", "status"): ("ok", "error", "incomplete"),
    ("steps", "kind"): ("model", "tool"),
    ("steps", "fidelity"): tuple(Fidelity),
    ("jobs", "status"): ("queued", "leased", "done", "dead"),
}


def value_problems(session: Session, name: str, tick: Tick) -> Iterator[Problem]:
    """Yield the rows of a table with a value that is not its column's."""
    row_type = _TABLES[name]
    table: Table = Base.metadata.tables[name]
    columns = [column for column in table.columns if not isinstance(column.type, Blob)]  # the key first
    plain = [columns[0], *(type_coerce(column, NullType()) for column in columns[1:])]

    def look(row: Any) -> Iterator[Problem]:
        for column, value in zip(columns, row, strict=True):
            what = _wrong(column, value)
            if what:
                yield Problem(name, str(row[0]), f"its {column.name} {what}")

    return problems_by_row(session, select(*plain), getattr(row_type, columns[0].name), look, tick)


def _wrong(column: Column[Any], value: Any) -> str | None:
    """Return what is wrong with a stored value; None if nothing is."""
    if value is None:
        return None if column.nullable else "is missing"
    wanted, name = _kind(column)
    if not any(isinstance(value, each) for each in wanted):
        return f"is no {name}"
    if isinstance(column.type, Digest) and len(value) != 16:
        return "is no digest"
    if isinstance(column.type, Json):
        try:
            json.loads(value)
        except UNREADABLE as error:
            return f"cannot be read ({error})"
    allowed = _ALLOWED.get((column.table.name, column.name))
    return f"is {value!r}" if allowed and value not in allowed else None


def _kind(column: Column[Any]) -> tuple[tuple[type, ...], str]:
    kind = column.type
    if isinstance(kind, Digest):
        return (bytes, memoryview), "digest"
    if isinstance(kind, Json | Label | String):
        return (str,), "text"
    return ((float, int), "number") if isinstance(kind, Double) else ((int,), "whole number")
