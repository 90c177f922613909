"""Trace headers, listings and looking ids up."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError
from flashtrace_agent.trace import Step, Trace

from .chains import batches
from .column_types import storable
from .schema import FacetRow, StepRow, TagRow, TraceRow
from .shared_rows import SharedRows
from .steps import read_steps
from .summary import TraceSummary
from .upsert import insert_new, insert_or_replace

_CANDIDATES = 5
_STORED = select(TraceRow.id).where(TraceRow.id.in_(bindparam("ids", expanding=True)))
_DELETE_TAGS = delete(TagRow).where(TagRow.trace_id.in_(bindparam("ids", expanding=True)))


def write_trace_rows(connection: Connection, traces: Sequence[Trace]) -> None:
    """Store the headers of traces, inside a write transaction."""
    latest = {trace.id: trace for trace in traces}
    rows = [
        {
            "id": trace.id,
            "name": trace.name,
            "started_at": trace.started_at,
            "ended_at": trace.ended_at,
            "status": trace.status,
            "session": trace.session,
            "prompt_version": trace.prompt_version,
            "error": trace.error,
            "extra": trace.metadata or None,
        }
        for trace in latest.values()
    ]
    insert_or_replace(connection, TraceRow, rows)
    for batch in batches(list(latest)):
        connection.execute(_DELETE_TAGS, {"ids": batch})
    tags = [
        {"trace_id": trace.id, "position": position, "tag": tag}
        for trace in latest.values()
        for position, tag in enumerate(trace.tags)
    ]
    insert_new(connection, TagRow, tags)


def ensure_trace_rows(connection: Connection, shared: SharedRows, steps: Sequence[Step]) -> None:
    """Store bare headers for steps that arrive before their traces'."""
    first = {step.trace_id: step for step in reversed(steps) if not shared.knows(step.trace_id)}
    stored: set[str] = set()
    for batch in batches(list(first)):
        stored.update(connection.scalars(_STORED, {"ids": batch}))
    headers = [
        {"id": trace_id, "name": "", "started_at": step.started_at, "status": "incomplete"}
        for trace_id, step in first.items()
        if trace_id not in stored
    ]
    insert_new(connection, TraceRow, headers)
    shared.met.update(first)


def read_trace(session: Session, trace_id: str) -> Trace:
    """Return a trace with its steps in order of time."""
    trace = read_headers(session, [trace_id])[trace_id]
    steps = select(StepRow).where(StepRow.trace_id == trace_id).order_by(StepRow.started_at, StepRow.id)
    trace.steps = read_steps(session, list(session.scalars(steps)))
    return trace


def read_headers(session: Session, trace_ids: Sequence[str]) -> dict[str, Trace]:
    """Return traces without their steps, by id."""
    rows = session.scalars(select(TraceRow).where(TraceRow.id.in_(trace_ids)))
    traces = {
        row.id: Trace(
            id=row.id,
            name=row.name,
            started_at=row.started_at,
            ended_at=row.ended_at,
            status=row.status,  # type: ignore[arg-type]  # written from the same Literal
            error=row.error,
            session=row.session,
            prompt_version=row.prompt_version,
            metadata=row.extra or {},
        )
        for row in rows
    }
    tags = select(TagRow.trace_id, TagRow.tag).where(TagRow.trace_id.in_(trace_ids)).order_by(TagRow.position)
    for trace_id, tag in session.execute(tags):
        traces[trace_id].tags.append(tag)
    return traces


def list_trace_rows(
    session: Session,
    *,
    limit: int,
    before: str | None,
    status: str | None,
    session_name: str | None,
    where: ColumnElement[bool] | None,
) -> list[TraceSummary]:
    """Return the newest traces, newest first; `before` is the last id of the page before."""
    # Ids alone come from indexes; whole rows, which may be large, are read for the page only.
    query = select(TraceRow.id).order_by(TraceRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(TraceRow.id < before)
    if status is not None:
        query = query.where(TraceRow.status == status)
    if session_name is not None:
        query = query.where(TraceRow.session == session_name)
    if where is not None:
        query = query.where(where)
    ids = list(session.scalars(query))
    rows: list[TraceRow] = []
    tags: dict[str, list[str]] = {}
    tools: dict[str, list[str]] = {}
    for batch in batches(ids):
        rows += session.scalars(select(TraceRow).where(TraceRow.id.in_(batch)).order_by(TraceRow.id.desc()))
        tag_query = select(TagRow.trace_id, TagRow.tag).where(TagRow.trace_id.in_(batch))
        for trace_id, tag in session.execute(tag_query.order_by(TagRow.position)):
            tags.setdefault(trace_id, []).append(tag)
        of_tools = (FacetRow.trace_id.in_(batch), FacetRow.field == "tool", FacetRow.value != "")
        tool_query = select(FacetRow.trace_id, FacetRow.value).where(*of_tools)
        for trace_id, tool in session.execute(tool_query.order_by(FacetRow.first_at, FacetRow.value)):
            tools.setdefault(trace_id, []).append(tool)
    return [_summary(row, tools.get(row.id, []), tags.get(row.id, [])) for row in rows]


def neighbour_ids(session: Session, trace_id: str) -> tuple[str | None, str | None]:
    """Return the ids of the next newer and the next older trace; None where there is none."""
    newer = session.scalar(select(func.min(TraceRow.id)).where(TraceRow.id > trace_id))
    older = session.scalar(select(func.max(TraceRow.id)).where(TraceRow.id < trace_id))
    return newer, older


def count_versions(session: Session) -> list[tuple[str, int]]:
    """Return the prompt versions there are with their numbers of traces, the one used last first."""
    query = (
        select(TraceRow.prompt_version, func.count())
        .where(TraceRow.prompt_version.is_not(None))
        .group_by(TraceRow.prompt_version)
        .order_by(func.max(TraceRow.id).desc())
    )
    return [(str(version), count) for version, count in session.execute(query)]


def resolve_id(session: Session, row_type: type[TraceRow] | type[StepRow], text: str) -> str:
    """Return the one id that is `text` or begins with it.

    Raises:
        StoreError: if there is none, or several.
    """
    noun = "trace" if row_type is TraceRow else "step"
    if not text:
        raise StoreError(f"Give a {noun} id, or its first characters.")
    if text != storable(text):  # no id holds what no text can
        found: list[str] = []
    elif session.scalar(select(row_type.id).where(row_type.id == text)) is not None:
        return text
    else:
        begins = (row_type.id >= text, row_type.id < text + "\U0010ffff")
        query = select(row_type.id).where(*begins).order_by(row_type.id).limit(_CANDIDATES + 1)
        found = list(session.scalars(query))
    if not found:
        raise StoreError(
            f"No {noun} has an id that begins with {text!r}: `flashtrace-agent list` shows what is there."
        )
    if len(found) > 1:
        more = ", …" if len(found) > _CANDIDATES else ""
        raise StoreError(
            f"{text!r} is the beginning of several {noun} ids, so give more of it: "
            f"{', '.join(found[:_CANDIDATES])}{more}."
        )
    return found[0]


def _summary(row: TraceRow, tools: list[str], tags: list[str]) -> TraceSummary:
    return TraceSummary(
        id=row.id,
        name=row.name,
        status=row.status,
        started_at=row.started_at,
        ended_at=row.ended_at,
        session=row.session,
        steps=row.steps,
        tools=tools,
        tokens=row.tokens,
        fidelity=row.fidelity,
        tags=tags,
    )
