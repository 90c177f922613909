"""``flashtrace-agent search``: find traces by what is said in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import one_line, open_console, print_json
from .options import JsonOption, StoreOption, WhereOption, open_existing_store

if TYPE_CHECKING:
    from rich.text import Text

    from flashtrace_agent.store.search import Found, Match

_NAME = 60


def search(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORDS", help="Whole words, in any order, that one message holds.", show_default=False
        ),
    ],
    where: WhereOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most this many traces.")] = 20,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Find messages that hold all the words, newest traces first."""
    with open_existing_store(store) as opened:
        found = opened.search(" ".join(words), where=where, limit=limit)
    if as_json:
        print_json([each.to_dict() for each in found])
        return
    console = open_console()
    if not found:
        console.print("No message holds all of these words.")
    for each in found:
        console.print(_heading(each))
        for match in each.matches:
            console.print(_line(match))
        if each.more:
            console.print(f"  … and {each.more} more messages", style="dim")


def _heading(found: Found) -> Text:
    from rich.text import Text

    heading = Text(found.trace_id, style="bold")
    heading.append(f"  {found.started_at:%Y-%m-%d %H:%M}  {one_line(found.name, _NAME)}", style="not bold")
    return heading


def _line(match: Match) -> Text:
    from rich.text import Text

    what = match.role if match.part == "content" else f"{match.role} {match.part.replace('_', ' ')}"
    line = Text(f"  {what}: ", style="cyan")
    start = len(line)
    line.append(match.snippet, style="default")
    for begin, end in match.highlights:
        line.stylize("bold yellow", start + begin, start + end)
    return line
