"""How much some attribution of a trace draws on each segment, kept beside the trace for filters.

For each trace, segment and target there is a row with the least and the most share that an attribution
has, and in how many of them the segment occurs. A segment also counts under each of its beginnings
(``tool_result`` sums all results), a target as well, and ``tool_call`` stands for a call's name and
arguments. The segment ``""`` counts all attributions of a target, the target ``""`` those of every
target, so that a segment that does not occur is known to have the share 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from .chains import batches
from .column_types import indexable
from .schema import AttributionRow, ShareRow, StepRow

ANY = ""
"""The segment or target that counts all of them."""

_CALL_PARTS = {"tool_name", "argument"}

Summaries = Iterable[tuple[str, Mapping[str, Any]]]
"""Names of targets, and what listings show of their attributions."""


class Range(NamedTuple):
    """The least and the most share, and how many attributions have one."""

    least: float
    most: float
    times: int


def ranges(summaries: Summaries) -> dict[tuple[str, str], Range]:
    """Return what attributions amount to, by segment and target."""
    found: dict[tuple[str, str], Range] = {}
    for target_name, summary in summaries:
        shares = {ANY: 0.0}
        for entry in summary["segments"]:
            for segment in _beginnings(entry["name"]):
                shares[segment] = shares.get(segment, 0.0) + entry["share"]
        targets = {ANY, *_beginnings(target_name)}
        targets |= {"tool_call"} if targets & _CALL_PARTS else set()
        for segment, total in shares.items():
            share = round(total, 4)  # sums of shares of four digits
            for target in targets:
                old = found.get((segment, target), Range(share, share, 0))
                found[segment, target] = Range(min(old.least, share), max(old.most, share), old.times + 1)
    return found


def add_shares(connection: Connection, trace_id: str, summaries: Summaries) -> None:
    """Count further attributions of a trace, inside a write transaction."""
    rows = [
        {"segment": segment, "target": target, "trace_id": trace_id, **share._asdict()}
        for (segment, target), share in ranges(summaries).items()
    ]
    if rows:
        connection.execute(_UPSERT[connection.dialect.name], rows)


def forget_shares(connection: Connection, trace_id: str) -> None:
    """Delete a trace's rows, inside a write transaction, while its attributions are still there."""
    keys = list(ranges(summaries_of(connection, trace_id)))
    for start in range(0, len(keys), 200):
        key = tuple_(ShareRow.segment, ShareRow.target).in_(keys[start : start + 200])
        connection.execute(delete(ShareRow).where(ShareRow.trace_id == trace_id, key))


def summaries_of(connection: Connection, trace_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the targets and summaries of a trace's attributions."""
    query = select(AttributionRow.target_name, AttributionRow.summary)
    query = query.join(StepRow, StepRow.id == AttributionRow.step_id).where(StepRow.trace_id == trace_id)
    return [(target_name, summary) for target_name, summary in connection.execute(query)]


def attributed_traces(connection: Connection) -> Iterator[str]:
    """Yield the ids of the traces that have attributions or shares."""
    attributed = select(StepRow.trace_id).join(AttributionRow, AttributionRow.step_id == StepRow.id)
    counted = select(ShareRow.trace_id).where(ShareRow.segment == ANY, ShareRow.target == ANY)
    yield from connection.scalars(attributed.union(counted))


def wrong_shares(connection: Connection) -> Iterator[str]:
    """Yield the ids of traces whose shares are not what their attributions amount to."""
    ids = sorted(attributed_traces(connection))
    for batch in batches(ids):
        stored: dict[str, dict[tuple[str, str], Range]] = {}
        for trace_id in batch:
            expected = ranges(summaries_of(connection, trace_id))
            keys = list(expected) or [(ANY, ANY)]
            found: dict[tuple[str, str], Range] = stored.setdefault(trace_id, {})
            for start in range(0, len(keys), 200):
                key = tuple_(ShareRow.segment, ShareRow.target).in_(keys[start : start + 200])
                query = select(ShareRow).where(ShareRow.trace_id == trace_id, key)
                for row in connection.execute(query):
                    found[row.segment, row.target] = Range(row.least, row.most, row.times)
            if found != expected:
                yield trace_id


def _beginnings(name: str) -> list[str]:
    """Return `name` and its beginnings before each ``:`` and ``#``."""
    name = indexable(name)
    return [name[:end] for end in range(1, len(name)) if name[end] in ":#"] + ([name] if name else [])


def _upsert(insert: Any) -> Any:
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=["segment", "target", "trace_id"],
        set_={
            "least": case((new.least < ShareRow.least, new.least), else_=ShareRow.least),
            "most": case((new.most > ShareRow.most, new.most), else_=ShareRow.most),
            "times": ShareRow.times + new.times,
        },
    )


_UPSERT = {
    "sqlite": _upsert(sqlite.insert(ShareRow)),
    "postgresql": _upsert(postgresql.insert(ShareRow)),
}
