"""Read many model steps with their attributions, for reviews."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.trace import Step, Trace

from .attributions import read_attributions
from .schema import StepRow, TraceRow
from .steps import read_steps
from .traces import read_headers

_BATCH = 64
"""Steps read together: neighbours share most of their messages and tokens."""


class AttributedStep(NamedTuple):
    """A model step, the header of its trace (without steps), and its attributions."""

    trace: Trace
    step: Step
    attributions: list[Attribution]


def read_attributed_steps(
    session: Session, where: ColumnElement[bool] | None, prompt_version: str | None, last: int | None
) -> Iterator[AttributedStep]:
    """Yield the model steps of the traces that agree, oldest first; see `Store.attributed_steps`."""
    query = (
        select(StepRow.id, StepRow.trace_id)
        .join(TraceRow, TraceRow.id == StepRow.trace_id)
        .where(StepRow.kind == "model")
        .order_by(StepRow.started_at.desc(), StepRow.id.desc())
        .limit(last)
    )
    if where is not None:
        query = query.where(TraceRow.id.in_(select(TraceRow.id).where(where)))
    if prompt_version is not None:
        query = query.where(TraceRow.prompt_version == prompt_version)
    chosen = list(session.execute(query))[::-1]
    headers: dict[str, Trace] = {}
    for start in range(0, len(chosen), _BATCH):
        batch = [step_id for step_id, _ in chosen[start : start + _BATCH]]
        new = {trace_id for _, trace_id in chosen[start : start + _BATCH]} - headers.keys()
        headers.update(read_headers(session, sorted(new)))
        rows = {row.id: row for row in session.scalars(select(StepRow).where(StepRow.id.in_(batch)))}
        steps = read_steps(session, [rows[step_id] for step_id in batch])
        attributions = read_attributions(session, batch)
        for step in steps:
            yield AttributedStep(headers[step.trace_id], step, attributions[step.id])
        session.expunge_all()  # decoded; a large selection must not stay in memory twice
