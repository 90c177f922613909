"""Write steps together with what follows from them in their traces."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from flashtrace_agent.trace import Step

from .replacing import replace_steps
from .schema import StepRow
from .shared_rows import SharedRows
from .steps import step_rows
from .totals import add_to_totals
from .traces import ensure_trace_rows
from .upsert import insert_new


def write_steps(connection: Connection, shared: SharedRows, steps: Sequence[Step]) -> None:
    """Store steps, bare headers for traces that are not stored yet, and the traces' totals."""
    if not steps:
        return
    ensure_trace_rows(connection, shared, steps)
    rows = step_rows(shared, steps)
    shared.flush()
    if insert_new(connection, StepRow, rows) == len(rows):
        add_to_totals(connection, rows)
    else:  # some replace earlier versions, which counted
        replace_steps(connection, shared, rows)
