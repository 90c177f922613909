"""``flashtrace-agent list``: the newest traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .console import STATUS_STYLES, one_line, open_console, print_json
from .options import JsonOption, StoreOption, WhereOption, open_existing_store

if TYPE_CHECKING:
    from rich.table import Table

    from flashtrace_agent.store import TraceSummary

_SHORT_ID = 13
"""Characters of an id: the millisecond, and enough of the rest to tell runs started in it apart."""

_FULL_WIDTH = 110
_HALF_WIDTH = 70


class StatusChoice(StrEnum):
    """How a trace ended."""

    OK = "ok"
    ERROR = "error"
    INCOMPLETE = "incomplete"


def list_traces(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most this many traces.")] = 50,
    status: Annotated[
        StatusChoice | None, typer.Option("--status", help="Only traces that ended so.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", help="Only traces of this session.")] = None,
    where: WhereOption = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """List traces, newest first."""
    with open_existing_store(store) as opened:
        found = opened.list_traces(limit=limit, status=status, session=session, where=where)
    if as_json:
        print_json([summary.to_dict() for summary in found])
        return
    console = open_console()
    if found:
        console.print(traces_table(found, console.width))
    elif status or session or where:
        console.print("No trace matches. `flashtrace-agent list` shows all of them.")
    else:
        console.print("The store has no traces yet. Run `flashtrace-agent demo` to record one.")


def traces_table(summaries: Sequence[TraceSummary], width: int) -> Table:
    """Return a table of as many columns as `width` characters hold; free text alone is cut to fit."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    columns = [column for column in _COLUMNS if width >= column.from_width]
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=not column.is_free,  # Rich takes the width that is missing from the others
            min_width=_SHORT_ID if column.title == "id" else None,
        )
    for summary in summaries:
        cells = [one_line(column.text(summary, width), 60) for column in columns]
        table.add_row(
            *(Text(cell, STATUS_STYLES.get(cell, ""), no_wrap=True, overflow="ellipsis") for cell in cells)
        )
    return table


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the listing, shown on terminals of at least `from_width` characters."""

    title: str
    text: Callable[[TraceSummary, int], str]
    from_width: int = 0
    is_number: bool = False
    is_free: bool = False


_COLUMNS = (
    _Column("id", lambda s, width: s.id if width > 2 * _FULL_WIDTH else s.id[:_SHORT_ID]),
    _Column("status", lambda s, _: s.status),
    _Column("name", lambda s, _: s.name or "-", is_free=True),
    _Column("started (UTC)", lambda s, _: f"{s.started_at:%Y-%m-%d %H:%M}", _HALF_WIDTH),
    _Column("steps", lambda s, _: str(s.steps), _HALF_WIDTH, is_number=True),
    _Column("tokens", lambda s, _: str(s.tokens), _FULL_WIDTH, is_number=True),
    _Column("fidelity", lambda s, _: s.fidelity or "-", _FULL_WIDTH),
    _Column("tools", lambda s, _: ", ".join(s.tools) or "-", _HALF_WIDTH, is_free=True),
    _Column("session", lambda s, _: s.session or "-", _FULL_WIDTH, is_free=True),
    _Column("tags", lambda s, _: ", ".join(s.tags) or "-", _FULL_WIDTH, is_free=True),
)
