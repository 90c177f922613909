"""Write steps together with what follows from them in their traces."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from flashtrace_agent.trace import Step

from .shared_rows import SharedRows
from .steps import write_step_rows
from .totals import refresh_totals
from .traces import ensure_trace_rows


def write_steps(connection: Connection, shared: SharedRows, steps: Sequence[Step]) -> None:
    """Store steps, bare headers for traces that are not stored yet, and the traces' totals."""
    if steps:
        ensure_trace_rows(connection, steps)
        write_step_rows(connection, shared, steps)
        refresh_totals(connection, [step.trace_id for step in steps])
