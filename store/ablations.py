"""What steps did without lines of their prompts, to rows and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.orm import Session

from .chains import batches
from .schema import AblationRow
from .steps import require_steps
from .upsert import insert_new


@dataclass(frozen=True, slots=True)
class AblationPart:
    """What is kept of one step of a proof; see `AblationRow`."""

    id: str
    step_id: str
    key: str
    position: int
    steps: int
    data: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AblationPart:
        """Undo `to_dict`.

        Raises:
            TypeError, ValueError: if the data is not one.
        """
        part = cls(**data)
        if len(bytes.fromhex(part.id)) != 16 or not bytes.fromhex(part.key):
            raise ValueError(f"{part.id!r} or {part.key!r} is no digest")
        if part.steps < 1:
            raise ValueError(f"a proof cannot be on {part.steps} steps")
        return part


def read_ablation_parts(session: Session, step_ids: Sequence[str]) -> list[AblationPart]:
    """Return what is kept of steps, whichever proof it is a part of."""
    parts: list[AblationPart] = []
    for batch in batches(step_ids):
        query = select(AblationRow).where(AblationRow.step_id.in_(batch))
        for row in session.scalars(query):
            parts.append(AblationPart(row.id, row.step_id, row.key, row.position, row.steps, row.data))
    return sorted(parts, key=lambda part: (part.step_id, part.id))


def write_ablation_parts(connection: Connection, parts: Sequence[AblationPart]) -> None:
    """Store parts of proofs on stored steps, inside a write transaction; those that are there stay."""
    insert_new(connection, AblationRow, [part.to_dict() for part in parts])


def write_ablation_rows(connection: Connection, key: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep a proof's parts by step id, inside a write transaction, in place of one on the same steps.

    Raises:
        StoreError: if one of the steps is not stored.
    """
    require_steps(connection, list(steps), "it was deleted since, so review what is there now")
    proof = hashlib.blake2b(":".join([key, *sorted(steps)]).encode(), digest_size=16).hexdigest()
    connection.execute(delete(AblationRow).where(AblationRow.id == proof))
    rows = [
        {
            "id": proof,
            "step_id": step_id,
            "key": key,
            "position": position,
            "steps": len(steps),
            "data": dict(data),
        }
        for position, (step_id, data) in enumerate(steps.items())
    ]
    insert_new(connection, AblationRow, rows)


def read_ablations(session: Session, key: str) -> list[dict[str, Mapping[str, Any]]]:
    """Return the proofs under a key that are whole, each with its parts by step id; the largest first."""
    query = select(AblationRow).where(AblationRow.key == key).order_by(AblationRow.position)
    proofs: dict[str, dict[str, Mapping[str, Any]]] = {}
    sizes: dict[str, int] = {}
    for row in session.scalars(query):
        proofs.setdefault(row.id, {})[row.step_id] = row.data
        sizes[row.id] = row.steps
    whole = [steps for proof, steps in proofs.items() if len(steps) == sizes[proof]]
    return sorted(whole, key=len, reverse=True)
