"""The SQL of ``segment tool_result share > 0.5 of target tool_call``.

Shares stand as JSON in each attribution's summary, where they cost no further bytes; the database
takes them apart itself, so that no array is decoded and no row leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, Boolean, ColumnElement, Float, Text, cast, exists, func, or_, select
from sqlalchemy import type_coerce as coerce

from .column_types import storable
from .schema import AttributionRow, StepRow, TraceRow


def share_condition(
    dialect: str, *, segment: str, target: str | None, compare: Callable[[Any, Any], Any], share: float
) -> ColumnElement[bool]:
    """Return whether some attribution of a trace draws that much on a segment.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        segment: a segment's name, or its first part, as in ``tool_result`` for all results together.
        target: a target's name or its first part; ``tool_call`` for a call's name and arguments;
            None for any target.
        compare: takes the sum of the segments' shares and `share`.
        share: from 0 to 1.
    """
    if dialect == "postgresql":
        entry = func.json_array_elements(
            cast(coerce(AttributionRow.summary, Text), JSON).op("->")("segments")
        ).table_valued("value")
        name: ColumnElement[str] = cast(entry.c.value, JSON).op("->>")("name")
        number: ColumnElement[float] = cast(cast(entry.c.value, JSON).op("->>")("share"), Float)
    else:
        entry = func.json_each(coerce(AttributionRow.summary, Text), "$.segments").table_valued("value")
        name = func.json_extract(entry.c.value, "$.name")
        number = func.json_extract(entry.c.value, "$.share")
    total = (
        select(func.coalesce(func.sum(number), 0.0))
        .select_from(entry)
        .where(_is_part(coerce(name, Text), segment))
        .correlate(AttributionRow)
        .scalar_subquery()
    )
    conditions = [
        StepRow.trace_id == TraceRow.id,
        AttributionRow.step_id == StepRow.id,
        coerce(compare(total, share), Boolean),
    ]
    if target == "tool_call":
        is_call = (_is_part(AttributionRow.target_name, part) for part in ("tool_name", "argument"))
        conditions.append(or_(*is_call))
    elif target is not None:
        conditions.append(_is_part(AttributionRow.target_name, target))
    return exists().where(*conditions).correlate(TraceRow)


def _is_part(column: ColumnElement[str] | Any, name: str) -> ColumnElement[bool]:
    """Tell whether a column holds `name`, or begins with it and a further part (``:…``, ``#2``)."""
    name = storable(name)
    further = [column.startswith(name + mark, autoescape=True) for mark in ":#"]
    return or_(column == name, *further)
