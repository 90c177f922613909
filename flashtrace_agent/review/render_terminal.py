"""A review for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from flashtrace_agent.percent import percent

from .document import Cell, Document, Share, Stack, Table, Words, cell_text

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType
    from rich.table import Table as RichTable

_STYLES = {"good": "green", "bad": "red", "dim": "dim", "plain": ""}
_MOST_ROWS = 40
_WITH_INTERVALS = 150
"""Columns from which tables show intervals."""
_LONGEST_CELL = 200
_READABLE = 32
"""How wide the column that takes the room should be; below, others are left out."""
_NARROWEST, _NARROW = 16, 11
"""How narrow that column, and other text, may become."""
_GAP = 2


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
                yield _table(block, width)
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


def _table(table: Table, width: int) -> RichTable:
    from rich.table import Table as RichTable
    from rich.text import Text

    rows = table.rows[:_MOST_ROWS]
    has_room = width >= _WITH_INTERVALS
    texts = [[_cell(row[index], has_room) for row in rows] for index in range(len(table.columns))]
    widths = _widths(table, texts, width)
    made = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for index, columns in widths.items():
        justify: JustifyMethod = "right" if _is_number(table, index) else "left"
        made.add_column(table.columns[index], justify=justify, overflow="fold", width=columns)
    for number, row in enumerate(rows):
        made.add_row(*(Text(texts[index][number], style=_style(row[index])) for index in widths))
    return made


def _widths(table: Table, texts: Sequence[Sequence[str]], width: int) -> dict[int, int]:
    """Return how wide each column becomes, by index; empty ones and those without room are left out.

    The widest ones are cut first, that which takes the room there is at twice their width; numbers never.
    """
    from rich.cells import cell_len

    kept = [index for index, cells in enumerate(texts) if any(cells)]
    widths = {index: max(map(cell_len, [table.columns[index], *texts[index]])) for index in kept}
    least: dict[int, int] = {}
    for index in kept:
        longest = max(map(cell_len, texts[index]))
        if not _is_number(table, index):
            longest = min(longest, _NARROWEST if index == table.wide else _NARROW)
        least[index] = max(longest, *map(cell_len, table.columns[index].split()), 1)
    wanted = least | {table.wide: min(widths.get(table.wide, 0), _READABLE)}
    for title in table.optional:
        if sum(wanted[index] + _GAP for index in kept) <= width + _GAP:
            break
        kept = [index for index in kept if table.columns[index] != title]
    while sum(widths[index] + _GAP for index in kept) > width + _GAP:
        loose = [index for index in kept if widths[index] > least[index]]
        if not loose:
            break
        widths[max(loose, key=lambda index: widths[index] / (2 if index == table.wide else 1))] -= 1
    return {index: widths[index] for index in kept}


def _is_number(table: Table, index: int) -> bool:
    return all(isinstance(row[index], int | float | Share | None) for row in table.rows)


def _bar(name: str, parts: object) -> RenderableType:
    from rich.text import Text

    line = Text(f"{name:>12} ")
    shades = ("█", "▓", "▒", "░")
    for index, (part, share) in enumerate(sorted(parts, key=lambda entry: -entry[1])):  # type: ignore[call-overload]
        if share >= 0.01:
            line.append(shades[index % 4] * max(round(share * 40), 1), style="cyan" if index % 2 else "blue")
            line.append(f" {part} {percent(share)}  ", style="dim" if index > 3 else "")
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
