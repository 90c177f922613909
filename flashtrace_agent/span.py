"""Half-open token ranges, the coordinates everything else speaks in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A half-open range ``[start, end)`` of absolute token positions in prompt + completion.

    Raises:
        ValueError: if ``start`` is negative or ``end`` lies before ``start``.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"Span({self.start}, {self.end}) starts before token 0.")
        if self.end < self.start:
            raise ValueError(f"Span({self.start}, {self.end}) is reversed: give start before end.")

    def __len__(self) -> int:
        return self.end - self.start

    def __bool__(self) -> bool:
        return self.end > self.start

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and self.start <= position < self.end

    def overlaps(self, other: Span) -> bool:
        """Tell whether the two ranges share a token."""
        return max(self.start, other.start) < min(self.end, other.end)

    def __str__(self) -> str:
        return f"{self.start}:{self.end}"

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read ``START:END``.

        Raises:
            ValueError: if the text is not two integers around a colon.
        """
        start, separator, end = text.partition(":")
        if not separator or not start.strip().isdigit() or not end.strip().isdigit():
            raise ValueError(f"{text!r} is not a span: write START:END in tokens, as in 1520:1544.")
        return cls(int(start), int(end))


def merge_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sort spans and join those that touch or overlap; empty ones disappear."""
    merged: list[Span] = []
    for span in sorted(span for span in spans if span):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


def subtract_spans(spans: Iterable[Span], removed: Iterable[Span]) -> tuple[Span, ...]:
    """Return what is left of ``spans`` once every token of ``removed`` is taken out."""
    rest = list(merge_spans(spans))
    for hole in merge_spans(removed):
        cut: list[Span] = []
        for span in rest:
            if not span.overlaps(hole):
                cut.append(span)
                continue
            if span.start < hole.start:
                cut.append(Span(span.start, hole.start))
            if hole.end < span.end:
                cut.append(Span(hole.end, span.end))
        rest = cut
    return tuple(rest)
