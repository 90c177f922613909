"""The SQL of ``segment tool_result share > 0.5 of target tool_call``; see `shares` for what it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, ColumnElement, and_, or_, select
from sqlalchemy import type_coerce as coerce
from sqlalchemy.orm import aliased

from .schema import ShareRow, TraceRow
from .shares import ANY


def share_condition(
    *, segment: str, target: str | None, compare: Callable[[Any, Any], Any], share: float
) -> ColumnElement[bool]:
    """Return whether some attribution of a trace draws that much on a segment.

    Args:
        segment: a segment's name, or its first part, as in ``tool_result`` for all results together.
        target: a target's name or its first part; ``tool_call`` for a call's name and arguments;
            None for any target.
        compare: takes a share and `share`: one of ``<``, ``<=``, ``>``, ``>=``.
        share: from 0 to 1.
    """
    some = aliased(ShareRow)
    key = target or ANY
    is_below = bool(compare(0, 1))
    reached = coerce(compare(some.least if is_below else some.most, share), Boolean)
    of_segment = (some.segment == segment, some.target == key)
    if not compare(0.0, share):
        return TraceRow.id.in_(select(some.trace_id).where(*of_segment, reached))
    # The share 0 is asked for too, which attributions have that lack the segment.
    every = aliased(ShareRow)
    lacking = or_(some.times.is_(None), some.times < every.times)
    query = select(every.trace_id).outerjoin(some, and_(*of_segment, some.trace_id == every.trace_id))
    return TraceRow.id.in_(query.where(every.segment == ANY, every.target == key, or_(reached, lacking)))
