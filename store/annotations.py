"""Annotations to rows and back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select
from sqlalchemy.orm import Session

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.errors import StoreError
from flashtrace_agent.span import Span

from .chains import batches
from .schema import AnnotationRow, StepRow, TraceRow
from .upsert import insert_or_replace


def write_annotation_rows(connection: Connection, annotations: Sequence[Annotation]) -> None:
    """Store annotations, inside a write transaction.

    Raises:
        StoreError: if what one is about is not stored.
    """
    for batch in batches([each.trace_id for each in annotations]):
        stored = set(connection.scalars(select(TraceRow.id).where(TraceRow.id.in_(batch))))
        for trace_id in batch:
            if trace_id not in stored:
                raise StoreError(f"Trace {trace_id} is not in the store: write it before what is said of it.")
    traces: dict[str, str] = {}
    for batch in batches([each.step_id for each in annotations if each.step_id is not None]):
        query = select(StepRow.id, StepRow.trace_id).where(StepRow.id.in_(batch))
        traces.update((row.id, row.trace_id) for row in connection.execute(query))
    for each in annotations:
        if each.step_id is not None and traces.get(each.step_id) != each.trace_id:
            raise StoreError(f"Trace {each.trace_id} has no step {each.step_id} in the store.")
    insert_or_replace(connection, AnnotationRow, [_row(each) for each in annotations])


def read_scores(session: Session, trace_ids: Sequence[str]) -> dict[str, float]:
    """Return the latest score given to each trace as a whole; nothing for those without one."""
    found: dict[str, float] = {}
    for batch in batches(trace_ids):
        of_traces = (AnnotationRow.trace_id.in_(batch), AnnotationRow.step_id.is_(None))
        query = select(AnnotationRow.trace_id, AnnotationRow.score).where(*of_traces)
        for trace_id, score in session.execute(query.order_by(AnnotationRow.created_at, AnnotationRow.id)):
            if score is not None:
                found[trace_id] = score
    return found


def read_annotations(session: Session, trace_ids: Sequence[str]) -> list[Annotation]:
    """Return the annotations of traces, of their steps and spans too, oldest first."""
    rows: list[AnnotationRow] = []
    for batch in batches(trace_ids):
        rows += session.scalars(select(AnnotationRow).where(AnnotationRow.trace_id.in_(batch)))
    rows.sort(key=lambda row: (row.created_at, row.id))
    return [
        Annotation(
            id=row.id,
            trace_id=row.trace_id,
            created_at=row.created_at,
            who=row.who,
            step_id=row.step_id,
            span=None
            if row.span_start is None or row.span_end is None
            else Span(row.span_start, row.span_end),
            label=row.label,
            score=row.score,
            note=row.note,
        )
        for row in rows
    ]


def delete_annotation_row(connection: Connection, annotation_id: str) -> None:
    """Delete an annotation, inside a write transaction.

    Raises:
        StoreError: if there is none with this id.
    """
    if not connection.execute(delete(AnnotationRow).where(AnnotationRow.id == annotation_id)).rowcount:
        raise StoreError(f"No annotation has the id {annotation_id!r}: `annotate TRACE` lists a trace's.")


def _row(annotation: Annotation) -> dict[str, object]:
    span = annotation.span
    return {
        "id": annotation.id,
        "trace_id": annotation.trace_id,
        "step_id": annotation.step_id,
        "span_start": None if span is None else span.start,
        "span_end": None if span is None else span.end,
        "created_at": annotation.created_at,
        "who": annotation.who,
        "label": annotation.label,
        "score": annotation.score,
        "note": annotation.note,
    }
