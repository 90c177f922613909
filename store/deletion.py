"""Delete traces or steps, and what nothing else refers to.

After their own rows, each shared row they referred to goes if no row is left that refers to it; of
chains, as far back as nothing else continues them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, exists, select
from sqlalchemy.orm import InstrumentedAttribute

from flashtrace_agent.errors import StoreError

from .chains import Link, batches, past_of
from .full_text import forget_messages, unlink_trace
from .schema import (
    AttributionRow,
    DocumentRow,
    MessageRow,
    StepRow,
    TextChunkRow,
    TokenChunkRow,
    TraceRow,
)
from .shares import add_shares, forget_shares, summaries_of
from .totals import refresh_totals

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


def delete_trace_rows(connection: Connection, trace_id: str) -> None:
    """Delete a trace, inside a write transaction."""
    steps = select(StepRow.id).where(StepRow.trace_id == trace_id)
    _delete_steps(connection, trace_id, list(connection.scalars(steps)))
    # Its tags, facets and annotations go with it.
    connection.execute(delete(TraceRow).where(TraceRow.id == trace_id))


def delete_step_rows(connection: Connection, step_ids: Sequence[str]) -> None:
    """Delete steps, and leave their traces, inside a write transaction; ids that are unknown are ignored."""
    of_traces: dict[str, list[str]] = {}
    for batch in batches(step_ids):
        query = select(StepRow.id, StepRow.trace_id).where(StepRow.id.in_(batch))
        for step_id, trace_id in connection.execute(query):
            of_traces.setdefault(trace_id, []).append(step_id)
    for trace_id, ids in of_traces.items():
        _delete_steps(connection, trace_id, ids)
    refresh_totals(connection, of_traces)


def _delete_steps(connection: Connection, trace_id: str, step_ids: Sequence[str]) -> None:
    referred: dict[type[Shared], set[str]] = {table: set() for table, _ in _REFERENCES}
    owned = [(StepRow.id, *each) for each in _STEP_REFERENCES]
    owned += [(AttributionRow.step_id, *each) for each in _ATTRIBUTION_REFERENCES]
    for batch in batches(step_ids):
        for owner, row_type, column in owned:
            query = select(column).where(owner.in_(batch), column.is_not(None)).distinct()
            referred[row_type].update(digest for digest in connection.scalars(query) if digest)
    forget_shares(connection, trace_id)
    for batch in batches(step_ids):
        # Their attributions, trajectories, jobs and annotations go with them.
        connection.execute(delete(StepRow).where(StepRow.id.in_(batch)))
    add_shares(connection, trace_id, summaries_of(connection, trace_id))
    drop_unneeded(connection, trace_id, referred)


def drop_unneeded(
    connection: Connection, trace_id: str, referred: Mapping[type[Shared], Iterable[str]]
) -> None:
    """Delete what steps of a trace referred to and nothing needs any more, inside a write transaction.

    Messages that other traces still hold stay, but search finds this one by them no more.
    """
    heads = set(referred.get(MessageRow, ()))
    left = select(StepRow.input_digest, StepRow.output_digest).where(StepRow.trace_id == trace_id)
    still = past_of(connection, MessageRow, {head for pair in connection.execute(left) for head in pair})
    unlink_trace(connection, trace_id, past_of(connection, MessageRow, heads).keys() - still)
    for row_type in (MessageRow, TokenChunkRow, TextChunkRow):
        _sweep_chains(connection, row_type, referred.get(row_type, ()))
    _sweep_documents(connection, referred.get(DocumentRow, ()))


def _sweep_chains(connection: Connection, row_type: type[Link], heads: Iterable[str]) -> None:
    """Delete the links in the past of `heads` that no row needs, however long the chains are.

    A link is needed if a row refers to it, if a link that is not in this past follows it (which
    something refers to), or if a needed link does.
    """
    past = past_of(connection, row_type, heads)
    table = row_type.__table__
    needed: set[str] = set()
    for batch in batches(list(past)):
        for column in _referring(row_type):
            needed.update(
                d for d in connection.scalars(select(column).where(column.in_(batch)).distinct()) if d
            )
        followers = select(table.c.digest, table.c.parent).where(table.c.parent.in_(batch))
        needed.update(parent for digest, parent in connection.execute(followers) if digest not in past)
    for digest in list(needed):
        parent = past[digest]
        while parent is not None and parent not in needed:
            needed.add(parent)
            parent = past[parent]
    for batch in batches(_followers_first({d: p for d, p in past.items() if d not in needed})):
        if row_type is MessageRow:
            forget_messages(connection, batch)
        connection.execute(delete(row_type).where(table.c.digest.in_(batch)))


def _followers_first(links: Mapping[str, str | None]) -> list[str]:
    """Return links so that each comes before its parent, which it refers to."""
    places: dict[str, int] = {}
    for link in links:
        path = []
        at: str | None = link
        while at is not None and at in links and at not in places:
            path.append(at)
            if len(path) > len(links):
                raise StoreError(
                    "The past of a message or token goes in circles: run `flashtrace-agent db check`."
                )
            at = links[at]
        place = places.get(at, 0) if at is not None else 0
        for digest in reversed(path):
            place += 1
            places[digest] = place
    return sorted(links, key=lambda digest: -places[digest])


def _sweep_documents(connection: Connection, digests: Iterable[str]) -> None:
    for batch in batches(sorted(digests)):
        unused = [~exists().where(column == DocumentRow.digest) for column in _referring(DocumentRow)]
        connection.execute(delete(DocumentRow).where(DocumentRow.digest.in_(batch), *unused))


def _referring(row_type: type[Shared]) -> list[InstrumentedAttribute[str | None]]:
    return [column for target, column in _REFERENCES if target is row_type]
