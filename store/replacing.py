"""Write steps that are stored already, and let what hangs on them follow.

A step may be written again with other messages, and into another trace: a run that came in pieces is put
together when the last of them is there. Its attributions and annotations go with it, the totals of both
traces are worked out anew, and messages and token ids that nobody holds any more go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from .chains import batches, past_of
from .deletion import drop_unneeded
from .full_text import link_traces
from .schema import AnnotationRow, MessageRow, StepRow, TokenChunkRow
from .shared_rows import SharedRows
from .shares import add_shares, forget_shares, summaries_of
from .totals import refresh_totals
from .upsert import insert_or_replace

_STORED = select(
    StepRow.id, StepRow.trace_id, StepRow.input_digest, StepRow.output_digest, StepRow.tokens_digest
).where(StepRow.id.in_(bindparam("ids", expanding=True)))


def replace_steps(connection: Connection, shared: SharedRows, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store steps of which some are there, inside a write transaction, after `shared` is flushed."""
    wanted = {row["id"]: row for row in rows}
    former = [old for batch in batches(list(wanted)) for old in connection.execute(_STORED, {"ids": batch})]
    moved = [old for old in former if old.trace_id != wanted[old.id]["trace_id"]]
    traces = {wanted[old.id]["trace_id"] for old in moved} | {old.trace_id for old in moved}
    for trace_id in sorted(traces):
        forget_shares(connection, trace_id)
    insert_or_replace(connection, StepRow, rows)
    for trace_id in sorted(traces):
        add_shares(connection, trace_id, summaries_of(connection, trace_id))
    for old in moved:
        about = update(AnnotationRow).where(AnnotationRow.step_id == old.id)
        connection.execute(about.values(trace_id=wanted[old.id]["trace_id"]))
    refresh_totals(connection, {row["trace_id"] for row in rows} | traces)
    for old in former:
        _drop_former(connection, shared, old, wanted[old.id])


def _drop_former(connection: Connection, shared: SharedRows, old: Any, new: Mapping[str, Any]) -> None:
    held = {old.input_digest, old.output_digest} - {None}
    holds = {new["input_digest"], new["output_digest"]} - {None}
    tokens = {old.tokens_digest} - {None, new["tokens_digest"]}
    if old.trace_id == new["trace_id"] and held <= holds and not tokens:
        return  # as when a step ends that was written when it began
    drop_unneeded(connection, old.trace_id, {MessageRow: held, TokenChunkRow: tokens})
    # Not only what this process remembers: another one may have dropped the same messages before.
    link_traces(connection, ((digest, new["trace_id"]) for digest in past_of(connection, MessageRow, holds)))
    shared.forget()
