"""What steps did without lines of their prompts, to rows and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError

from .chains import batches
from .schema import AblationRow, StepRow
from .upsert import insert_new


def write_ablation_rows(connection: Connection, key: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep a proof's parts by step id, inside a write transaction; what was there before goes.

    Raises:
        StoreError: if one of the steps is not stored.
    """
    for batch in batches(list(steps)):
        stored = set(connection.scalars(select(StepRow.id).where(StepRow.id.in_(batch))))
        for step_id in batch:
            if step_id not in stored:
                raise StoreError(f"Step {step_id} is not in the store any more, so review what is there now.")
    connection.execute(delete(AblationRow).where(AblationRow.id == key))
    rows = [
        {"id": key, "step_id": step_id, "position": position, "steps": len(steps), "data": dict(data)}
        for position, (step_id, data) in enumerate(steps.items())
    ]
    insert_new(connection, AblationRow, rows)


def read_ablation(session: Session, key: str) -> dict[str, Mapping[str, Any]]:
    """Return a proof's parts by step id, in their order; nothing if there is none or a part is gone."""
    query = select(AblationRow).where(AblationRow.id == key).order_by(AblationRow.position)
    rows = session.scalars(query).all()
    whole = bool(rows) and len(rows) == rows[0].steps
    return {row.step_id: row.data for row in rows} if whole else {}
