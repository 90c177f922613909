"""Lines that may go: candidates by attribution, and what the ablation said of each.

A candidate is a line whose influence is not above that of random filler in any kind of choice. It is
called removable only after the model has been run without it (`ablation`) and did the same, unstable
steps aside (docs/review.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from .ledger import Row
from .lines import Line
from .removal import is_removable
from .tools import ToolReview
from .verdict import Ablation

Verdict = Literal["removable", "needed", "not checked"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that attribution found no use for.

    Attributes:
        row: the line with its influence.
        ablation: the check; None before it.
    """

    row: Row
    ablation: Ablation | None = None

    @property
    def verdict(self) -> Verdict:
        """Say ``removable`` or ``needed`` after the check."""
        if self.ablation is None:
            return "not checked"
        return "removable" if self.ablation.removable else "needed"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        check = asdict(self.ablation) if self.ablation is not None else None
        return self.row.to_dict() | {"verdict": self.verdict, "check": check}


@dataclass(frozen=True, slots=True)
class DeadWeight:
    """The lines of a group that may go.

    Attributes:
        candidates: lines not above chance, by tokens.
        together: the re-run without all lines that passed alone; two lines that say the same would
            each pass alone and fail here. None where fewer than two passed.
        kept: lines that passed alone and were put back, so that the rest may go together.
    """

    candidates: tuple[Candidate, ...] = ()
    together: Ablation | None = None
    kept: tuple[Line, ...] = field(default=())

    @property
    def unchecked(self) -> list[Candidate]:
        """The candidates that were not run yet."""
        return [one for one in self.candidates if one.ablation is None]

    @property
    def passed(self) -> list[Candidate]:
        """The candidates that may go by themselves."""
        return [one for one in self.candidates if one.verdict == "removable"]

    @property
    def is_checked(self) -> bool:
        """True if every candidate was run, and those that passed also at once; or there is none."""
        return not self.unchecked and (self.together is not None or len(self.passed) < 2)

    @property
    def removable(self) -> list[Candidate]:
        """The candidates that may go, all at once."""
        return [one for one in self.passed if one.row.line not in self.kept]

    @property
    def tokens(self) -> float | None:
        """Tokens per call that may go; None before the check."""
        if not self.is_checked:
            return None
        if self.together is not None:
            return self.together.tokens if self.together.removable else 0.0
        return sum((one.ablation.tokens for one in self.removable if one.ablation), start=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "checked": self.is_checked,
            "tokens": self.tokens,
            "candidates": [one.to_dict() for one in self.candidates],
            "together": asdict(self.together) if self.together is not None else None,
            "kept": [asdict(line) for line in self.kept],
        }


def find_candidates(ledger: Sequence[Row], tools: ToolReview) -> DeadWeight:
    """Return the lines that attribution finds no use for, unchecked.

    A tool as a whole is a candidate only if it was never called, and then its parts are not.
    """
    idle = [row for row in ledger if row.above_chance is False and is_removable(row.line)]
    whole = {row.line.segment for row in idle if row.is_segment and _may_go(row, tools)}
    chosen = [
        row
        for row in idle
        if (row.line.segment in whole) == row.is_segment and (not row.is_segment or _may_go(row, tools))
    ]
    return DeadWeight(
        tuple(Candidate(row) for row in sorted(chosen, key=lambda row: -row.tokens * row.steps))
    )


def with_ablations(dead: DeadWeight, ablations: dict[Line, Ablation]) -> DeadWeight:
    """Return the candidates with their checks."""
    return replace(
        dead,
        candidates=tuple(replace(one, ablation=ablations.get(one.row.line)) for one in dead.candidates),
    )


def _may_go(row: Row, tools: ToolReview) -> bool:
    name = row.line.segment.removeprefix("tool_schema:")
    return not row.line.segment.startswith("tool_schema:") or not tools.calls.get(name)
