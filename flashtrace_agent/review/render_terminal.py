"""A review for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .document import Cell, Document, Share, Stack, Table, Words, cell_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable

_STYLES = {"good": "green", "bad": "red", "dim": "dim", "plain": ""}
_MOST_ROWS = 40
_WITH_INTERVALS = 150
"""Columns from which tables show intervals."""
_LONGEST_CELL = 200
_NARROWEST = 24


def render_terminal(document: Document, width: int) -> Iterator[RenderableType]:
    """Yield what to print on `width` columns; text of the prompt is never read as markup or escape codes."""
    from rich.text import Text

    yield Text(_clean(document.title), style="bold")
    for name, value in document.facts:
        line = Text("  ")
        line.append(f"{_clean(name)}: ", style="dim")
        line.append(_clean(value))
        yield line
    yield Text()
    for finding in document.findings:
        yield Text("● " + _clean(finding.text), style=_STYLES[finding.tone])
    for section in document.sections:
        yield Text()
        yield Text(_clean(section.title), style="bold underline")
        for block in section.blocks:
            if isinstance(block, Table):
                yield _table(block, has_room=width >= _WITH_INTERVALS)
                if len(block.rows) > _MOST_ROWS:
                    yield Text(
                        f"{len(block.rows) - _MOST_ROWS} more rows: see --html, --markdown or --json.",
                        style="dim",
                    )
            elif isinstance(block, Stack):
                for name, parts in block.bars:
                    yield _bar(name, parts)
            elif isinstance(block, Words):
                yield Text(_clean(block.text), style=_STYLES[block.tone])
            else:
                yield Text(_clean(block), style="dim")
    yield Text()
    yield Text(document.note, style="dim")


def _table(table: Table, *, has_room: bool) -> RichTable:
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    kept = [
        index
        for index, title in enumerate(table.columns)
        if (has_room or title not in table.optional)
        and any(map(cell_text, (row[index] for row in table.rows)))
    ]
    for index in kept:
        title = table.columns[index]
        cells = [row[index] for row in table.rows]
        is_number = bool(cells) and all(isinstance(cell, int | float | Share | None) for cell in cells)
        made.add_column(
            title,
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
            min_width=_NARROWEST if index == table.wide else None,
        )
    for row in table.rows[:_MOST_ROWS]:
        made.add_row(
            *(Text(_cell(cell, has_room), style=_style(cell)) for cell in (row[index] for index in kept))
        )
    return made


def _bar(name: str, parts: object) -> RenderableType:
    from rich.text import Text

    line = Text(f"{name:>12} ")
    shades = ("█", "▓", "▒", "░")
    for index, (part, share) in enumerate(sorted(parts, key=lambda entry: -entry[1])):  # type: ignore[call-overload]
        if share >= 0.01:
            line.append(shades[index % 4] * max(round(share * 40), 1), style="cyan" if index % 2 else "blue")
            line.append(f" {part} {share:.0%}  ", style="dim" if index > 3 else "")
    return line


def _cell(cell: Cell, has_room: bool) -> str:
    if isinstance(cell, Share) and not has_room:
        cell = Share(cell.value)
    text = _clean(cell_text(cell))
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"


def _style(cell: Cell) -> str:
    return _STYLES[cell.tone] if isinstance(cell, Words) else ""


def _clean(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
