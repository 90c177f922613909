"""``flashtrace-agent compare``: what two runs, or two versions of a prompt, drew on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.percent import percent

from .console import one_line, open_console, print_json
from .options import JsonOption, StoreOption, open_existing_store

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from flashtrace_agent.compare import Comparison, Row


_LINE = 160
"""Characters of a prompt's line in the table; --json has it whole."""


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A trace's id, or its first characters.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other trace.")],
    versions: Annotated[
        bool, typer.Option("--versions", help="A and B are prompt versions, each with all its traces.")
    ] = False,
    last: Annotated[
        int, typer.Option("--last", min=1, help="With --versions: only so many of the latest traces.")
    ] = 50,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="Only this, as in tool_name, argument:NAME, answer or reasoning.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Lines of the prompt to show a target.")] = 12,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Compare what two traces, or two prompt versions, drew on."""
    from flashtrace_agent import compare as comparing
    from flashtrace_agent.store import sides

    with open_existing_store(store) as opened:
        if versions:
            found = [sides.of_version(opened, side, last) for side in (a, b)]
        else:
            found = [sides.of_trace(opened, side) for side in (a, b)]
    compared = comparing.compare(*found)
    chosen = [one for one in compared if target in (None, one.target)]
    if not chosen:
        names = ", ".join(one.target for one in compared) or "none"
        raise FlashTraceError(
            f"No such target is attributed on both sides: {names} can be compared; attribute more of them."
        )
    if as_json:
        print_json([one.to_dict() for one in chosen])
        return
    console = open_console()
    for one in chosen:
        console.print(_table(one, a, b, rows))
        for warning in one.warnings():
            console.print(warning, style="yellow")


def _table(one: Comparison, a: str, b: str, rows: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    counts = f"{one.a.attributions} and {one.b.attributions} attributions"
    fidelity = one.a.fidelity if one.a.fidelity == one.b.fidelity else f"{one.a.fidelity}, {one.b.fidelity}"
    table = Table(
        title=Text(f"{one_line(one.target, 60)} ({counts}, fidelity {fidelity})"), title_justify="left"
    )
    table.add_column("segment", max_width=24, no_wrap=True)
    table.add_column("line", ratio=1)
    for name in (a, b):
        table.add_column(Text(name[:12]), justify="right", no_wrap=True)
    table.add_column("difference", justify="right", no_wrap=True)
    for row in [*one.segments, *one.lines[:rows]]:
        table.add_row(Text(one_line(row.segment, 60)), _line(row), *_numbers(row))
        if row is one.segments[-1]:
            table.add_section()
    return table


def _line(row: Row) -> Text:
    from rich.text import Text

    if row.text_a is None and row.text_b is None:
        return Text("(all of it)", style="dim")
    text = Text(one_line(row.text_a or row.text_b or "", _LINE))
    if row.change == "changed":
        text.append("\n→ " + one_line(row.text_b or "", _LINE), style="italic")
    elif row.change != "same":
        text.append(f"  ({row.change})", style="dim")
    return text


def _numbers(row: Row) -> tuple[str, str, str]:
    a = "" if row.change == "only b" else percent(row.share_a, 1)
    b = "" if row.change == "only a" else percent(row.share_b, 1)
    return a, b, f"{row.difference * 100:+.1f} %"
