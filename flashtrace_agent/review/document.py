"""A report as a document of headings, sentences and tables, which each renderer writes its own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from flashtrace_agent.percent import percent

Tone = Literal["plain", "good", "bad", "dim"]


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its interval and its chance level, each from 0 to 1.

    Attributes:
        value: the estimate.
        low, high: its 95 % interval; None for none.
        chance: what random filler gets; None for nothing to hold it against.
    """

    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return percent(self.value, 1)
        return f"{percent(self.value, 1)} ({self.low * 100:.1f}–{self.high * 100:.1f})"


@dataclass(frozen=True, slots=True)
class Words:
    """Text with a tone."""

    text: str
    tone: Tone = "plain"

    def __str__(self) -> str:
        return self.text


Cell = str | int | float | Share | Words | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        columns: titles.
        rows: cells, as many as columns; None is an empty cell.
        wide: index of the column that takes the room there is.
        optional: titles of columns that a narrow terminal leaves out, the first to go first.
        links: for each row the trace, step and target it speaks of; empty where rows have none.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    wide: int = 0
    links: Sequence[tuple[str, str, str]] = ()
    optional: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """Parts of wholes, to be drawn as bars one above the other.

    Attributes:
        bars: per bar its name and its parts, each a name and a share; the parts add up to 1.
    """

    bars: Sequence[tuple[str, Sequence[tuple[str, float]]]]


Block = str | Words | Table | Stack


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it.

    Attributes:
        title: the heading.
        blocks: sentences, tables and pictures.
        group: index of the report's group it speaks of.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)
    group: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A whole review.

    Attributes:
        title: what it is about.
        facts: name and value, for the head.
        findings: what to do about it, each one sentence.
        sections: the rest.
        note: how to read the numbers.
    """

    title: str
    facts: list[tuple[str, str]]
    findings: list[Words]
    sections: list[Section]
    note: str


def cell_text(cell: Cell) -> str:
    """Return a cell as plain text."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:,.1f}".removesuffix(".0")
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
