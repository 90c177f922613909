# ruff: noqa: S608 - all SQL in here is put together from constants
"""What listings show and filters ask of a trace's steps, kept beside the trace.

How many steps and tokens a trace has, the lowest fidelity among its steps, and which tools and
models it used follow from its steps. Asking the steps of every trace takes long in a large store;
so each write to steps keeps them: new steps are added to what is there, which costs the same however
long the trace is; where steps are replaced or deleted, they are worked out anew from all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, text

from flashtrace_agent.trace import Fidelity

from .chains import batches
from .column_types import Name, UtcTime, indexable

FIDELITY_ORDER = tuple(map(str, reversed(Fidelity)))
"""Lowest first."""

_RANK = " ".join(f"WHEN '{name}' THEN {rank}" for rank, name in enumerate(FIDELITY_ORDER))
_NAME = " ".join(f"WHEN {rank} THEN '{name}'" for rank, name in enumerate(FIDELITY_ORDER))
_FIDELITY = f"CASE min(CASE fidelity {_RANK} END) {_NAME} END"
_TOTALS = "SELECT count(*), coalesce(sum(tokens), 0), {} FROM steps WHERE trace_id = traces.id"

_VALUE = "CASE kind WHEN 'tool' THEN name ELSE model END"
_FACETS = f"""
    SELECT trace_id, kind, {_VALUE}, min(started_at) FROM steps
    WHERE (kind = 'tool' OR model IS NOT NULL)"""
_GROUP = f"GROUP BY trace_id, kind, {_VALUE}"

_OF_TRACES: BindParameter[Any] = bindparam("ids", expanding=True)
_REFRESH = [
    text(statement).bindparams(_OF_TRACES)
    for statement in (
        f"UPDATE traces SET (steps, tokens, fidelity) = ({_TOTALS.format(_FIDELITY)}) WHERE id IN :ids",
        "DELETE FROM trace_facets WHERE trace_id IN :ids AND NOT EXISTS (SELECT 1 FROM steps "
        f"WHERE steps.trace_id = trace_facets.trace_id AND kind = field AND {_VALUE} = value)",
        f"INSERT INTO trace_facets (trace_id, field, value, first_at) {_FACETS} "
        f"AND trace_id IN :ids {_GROUP} ON CONFLICT (trace_id, field, value) "
        "DO UPDATE SET first_at = excluded.first_at WHERE trace_facets.first_at <> excluded.first_at",
    )
]

_NO_RANK = len(FIDELITY_ORDER)
_ADD = text(
    "UPDATE traces SET steps = steps + :steps, tokens = tokens + :tokens, "
    f"fidelity = CASE WHEN :rank < coalesce(CASE fidelity {_RANK} END, {_NO_RANK}) "
    "THEN :fidelity ELSE fidelity END WHERE id = :id"
)
_ADD_FACET = text(
    "INSERT INTO trace_facets (trace_id, field, value, first_at) "
    "VALUES (:trace_id, :field, :value, :first_at) "
    "ON CONFLICT (trace_id, field, value) "
    "DO UPDATE SET first_at = excluded.first_at WHERE excluded.first_at < trace_facets.first_at"
).bindparams(bindparam("value", type_=Name()), bindparam("first_at", type_=UtcTime()))
_LOCK = text("SELECT id FROM traces WHERE id IN :ids ORDER BY id FOR NO KEY UPDATE").bindparams(_OF_TRACES)

_STORED_FACETS = "SELECT trace_id, field, value, first_at FROM trace_facets"
_WRONG = text(
    "SELECT id FROM traces WHERE (steps, tokens, coalesce(fidelity, '')) "
    "<> (" + _TOTALS.format(f"coalesce({_FIDELITY}, '')") + ") "
    f"UNION SELECT trace_id FROM ({_STORED_FACETS} EXCEPT {_FACETS} {_GROUP}) AS more "
    f"UNION SELECT trace_id FROM ({_FACETS} {_GROUP} EXCEPT {_STORED_FACETS}) AS fewer ORDER BY 1"
)


def add_to_totals(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add steps that were just inserted to their traces' totals and facets, in that transaction.

    Args:
        connection: where they were inserted.
        rows: their columns.
    """
    added: dict[str, dict[str, Any]] = {}
    facets: dict[tuple[str, str, str], datetime] = {}
    for row in rows:
        trace_id, started = row["trace_id"], row["started_at"]
        new = {"id": trace_id, "steps": 0, "tokens": 0, "rank": _NO_RANK, "fidelity": None}
        sums = added.setdefault(trace_id, new)
        sums["steps"] += 1
        sums["tokens"] += row["tokens"] or 0
        if row["fidelity"] is not None and FIDELITY_ORDER.index(row["fidelity"]) < sums["rank"]:
            sums |= {"rank": FIDELITY_ORDER.index(row["fidelity"]), "fidelity": row["fidelity"]}
        value = row["name"] if row["kind"] == "tool" else row["model"]
        if value is not None:
            key = (trace_id, row["kind"], indexable(value))
            facets[key] = min(started, facets.get(key, started))
    connection.execute(_ADD, [added[trace_id] for trace_id in sorted(added)])
    if facets:
        names = ("trace_id", "field", "value")
        connection.execute(
            _ADD_FACET, [dict(zip(names, key, strict=True)) | {"first_at": at} for key, at in facets.items()]
        )


def refresh_totals(connection: Connection, trace_ids: Iterable[str]) -> None:
    """Work out totals and facets of traces whose steps were written or deleted, in that transaction."""
    for batch in batches(sorted(set(trace_ids))):
        if connection.dialect.name == "postgresql":
            # What another transaction adds must be seen, or come after this.
            connection.execute(_LOCK, {"ids": batch})
        for statement in _REFRESH:
            connection.execute(statement, {"ids": batch})


def wrong_totals(connection: Connection) -> list[str]:
    """Return the ids of traces whose totals or facets are not what their steps amount to."""
    return list(connection.scalars(_WRONG))
