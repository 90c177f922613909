"""The line a trace gets in a listing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """What a listing shows of a trace, without its steps.

    Attributes:
        steps: number of steps.
        tools: names of the tools called, each once, in order of first call.
        tokens: prompt and completion tokens of all model steps together; reported counts where
            the ids are unknown.
        fidelity: the lowest fidelity among the model steps; None where no step has one.
    """

    id: str
    name: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    session: str | None
    steps: int
    tools: list[str]
    tokens: int
    fidelity: str | None
    tags: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready dict that ``list --json`` prints; times are ISO 8601 UTC."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "session": self.session,
            "steps": self.steps,
            "tools": self.tools,
            "tokens": self.tokens,
            "fidelity": self.fidelity,
            "tags": self.tags,
        }
