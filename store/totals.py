# ruff: noqa: S608 - all SQL in here is put together from constants
"""What listings show and filters ask of a trace's steps, kept beside the trace.

How many steps and tokens a trace has, the lowest fidelity among its steps, and which tools and
models it used follow from its steps. Asking the steps of every trace takes long in a large store;
so each write to steps works them out anew for the traces it touched, from the steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, text

from .chains import batches

FIDELITY_ORDER = ("approximate", "rendered", "exact")
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

_STORED_FACETS = "SELECT trace_id, field, value, first_at FROM trace_facets"
_WRONG = text(
    "SELECT id FROM traces WHERE (steps, tokens, coalesce(fidelity, '')) "
    "<> (" + _TOTALS.format(f"coalesce({_FIDELITY}, '')") + ") "
    f"UNION SELECT trace_id FROM ({_STORED_FACETS} EXCEPT {_FACETS} {_GROUP}) AS more "
    f"UNION SELECT trace_id FROM ({_FACETS} {_GROUP} EXCEPT {_STORED_FACETS}) AS fewer ORDER BY 1"
)


def refresh_totals(connection: Connection, trace_ids: Iterable[str]) -> None:
    """Work out totals and facets of traces whose steps were written or deleted, in that transaction."""
    for batch in batches(sorted(set(trace_ids))):
        for statement in _REFRESH:
            connection.execute(statement, {"ids": batch})


def wrong_totals(connection: Connection) -> list[str]:
    """Return the ids of traces whose totals or facets are not what their steps amount to."""
    return list(connection.scalars(_WRONG))
