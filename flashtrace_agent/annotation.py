"""What somebody says about a trace, a step or a span of it: a label, a score, a note."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .errors import FlashTraceError
from .span import Span

MAX_LABEL, MAX_NOTE = 200, 100_000
"""Characters of a label or a name, and of a note."""


class AnnotationError(FlashTraceError, ValueError):
    """An annotation that says nothing, or something that cannot be kept."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One remark.

    Attributes:
        id: sortable and URL-safe; writing one with a known id replaces it.
        step_id: the step it is about; None for the whole trace.
        span: the tokens of the step it is about; None for the whole step.
        label: a word to filter by, as in ``bad``; None for none.
        score: any finite number; None for none.
        note: free text.
        who: who says so: a person, a program, a model that judges.
        created_at: UTC.

    Raises:
        AnnotationError: if it says nothing, is too long, or has a span without a step.
    """

    id: str
    trace_id: str
    created_at: datetime
    who: str
    step_id: str | None = None
    span: Span | None = None
    label: str | None = None
    score: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.label and self.score is None and not self.note:
            raise AnnotationError("An annotation needs a label, a score or a note.")
        if self.score is not None and not math.isfinite(self.score):
            raise AnnotationError(f"The score {self.score} is no finite number: give one, as in 0.5.")
        if self.span is not None and (self.step_id is None or not self.span):
            raise AnnotationError("A span needs its step, and at least one token.")
        if max(len(self.label or ""), len(self.who)) > MAX_LABEL or len(self.note) > MAX_NOTE:
            raise AnnotationError(
                f"An annotation is too long: a label or name has up to {MAX_LABEL} characters, a note up to "
                f"{MAX_NOTE}."
            )

    def __str__(self) -> str:
        """Return what is said, on one line: the span, the label, the score and the note."""
        span = "" if self.span is None else f"tokens {self.span}"
        score = "" if self.score is None else f"{self.score:g}"
        return " · ".join(part for part in (span, self.label, score, self.note) if part)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; `from_dict` undoes it."""
        return {
            "id": self.id,
            "trace_id": self.trace_id,
            "step_id": self.step_id,
            "span": None if self.span is None else [self.span.start, self.span.end],
            "label": self.label,
            "score": self.score,
            "note": self.note,
            "who": self.who,
            "created_at": self.created_at.isoformat(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Annotation:
        """Undo `to_dict`.

        Raises:
            TypeError, ValueError, KeyError: if the data is not one.
        """
        created_at = datetime.fromisoformat(data["created_at"])
        if created_at.tzinfo is None:
            raise ValueError("created_at has no time zone")
        span = None if data["span"] is None else Span(*data["span"])
        return cls(**{**data, "span": span, "created_at": created_at})
