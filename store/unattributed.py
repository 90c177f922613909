"""Which model steps are not attributed yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased

from .schema import AttributionRow, JobRow, StepRow, TraceRow

_PAGE = 500


def unattributed_pages(
    read: Callable[[], AbstractContextManager[Session]],
    where: ColumnElement[bool] | None,
    method: str,
    *,
    queued: bool,
) -> Iterator[list[str]]:
    """Yield pages of ids of model steps with known ids and no attribution by a method, oldest first.

    Args:
        read: opens a session to read, one for each page: what is done with a page may take long.
        where: only in traces that meet this condition; None for all.
        method: a registered method.
        queued: also steps that have a job of this method, whatever became of it.
    """
    step = aliased(StepRow)  # the condition has its own
    attributed = select(AttributionRow.id).where(
        AttributionRow.step_id == step.id, AttributionRow.method == method
    )
    query = (
        select(step.id)
        .join(TraceRow, TraceRow.id == step.trace_id)
        .where(step.kind == "model", step.prompt_length > 0, step.completion_length > 0)
        .where(~attributed.exists())
        .order_by(step.id)
        .limit(_PAGE)
    )
    if not queued:
        job = select(JobRow.id).where(JobRow.step_id == step.id, JobRow.method == method)
        query = query.where(~job.exists())
    if where is not None:
        query = query.where(where)
    last = ""
    while True:
        with read() as reading:
            ids = list(reading.scalars(query.where(step.id > last)))
        if not ids:
            return
        yield ids
        last = ids[-1]
