"""``flashtrace-agent db``: look after the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flashtrace_agent.count_of import count_of
from flashtrace_agent.errors import StoreError

from .console import print_json
from .options import JsonOption, StoreOption, open_existing_store, open_store
from .progress import counting, waiting

app = typer.Typer(
    no_args_is_help=True,
    help="Upgrade, check, describe, back up, copy or compact the store.",
    rich_markup_mode=None,
)

_SHOWN = 50


@app.command("upgrade")
def upgrade(store: StoreOption = None) -> None:
    """Create the store, or bring it to the schema of this version."""
    with waiting("upgrading"), open_store(store) as opened:
        schema = opened.describe()["schema"]
    typer.echo(f"The store is at schema {schema}.")


@app.command("check")
def check(as_json: JsonOption = False, store: StoreOption = None) -> None:
    """Verify every hash, length and reference in the store."""
    with open_existing_store(store) as opened, counting("checking rows", opened.count_checked()) as tick:
        problems = opened.check(tick)
    if as_json:
        print_json([{"table": each.table, "row": each.row, "what": each.what} for each in problems])
    else:
        for problem in problems[:_SHOWN]:
            typer.echo(str(problem))
        if len(problems) > _SHOWN:
            typer.echo(f"… and {len(problems) - _SHOWN} more (--json lists all)")
    if problems:
        raise StoreError(f"The store has {count_of(len(problems), 'problem')}: restore it from a backup.")
    if not as_json:
        typer.echo("The store is sound.")


@app.command("info")
def info(as_json: JsonOption = False, store: StoreOption = None) -> None:
    """Say what the store holds and how large it is."""
    with open_existing_store(store) as opened:
        found = opened.describe()
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['database']}, schema {found['schema']}, {found['bytes'] / 1e6:,.1f} MB")
    for table, rows in found["rows"].items():
        typer.echo(f"{table:<16}{rows:>12,}")


@app.command("backup")
def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.", show_default=False)],
    store: StoreOption = None,
) -> None:
    """Copy the store to a new file, also while others write to it."""
    with open_existing_store(store) as opened, waiting("copying the file"):
        opened.backup(path)
    typer.echo(f"Wrote {path}")


@app.command("copy")
def copy(
    target: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="A new or empty store, as in postgresql+psycopg://user@host/name.",
            show_default=False,
        ),
    ],
    store: StoreOption = None,
) -> None:
    """Copy the whole store into another, and verify it by digest.

    That may be one of the other database. Either everything is copied or nothing. Others may go on
    writing; what they write after the start is not in the copy.
    """
    with open_existing_store(store) as opened, open_store(target) as other:
        rows = opened.describe()["rows"]
        # Every row is read back, and the messages once more for their words.
        with counting("copying rows", 2 * sum(rows.values()) + rows["messages"]) as tick:
            digest = opened.copy_to(other, lambda table, count: tick(count))
    typer.echo(
        f"Copied {count_of(rows['traces'], 'trace')} with {count_of(rows['steps'], 'step')}; "
        f"both stores have the digest {digest}."
    )


@app.command("vacuum")
def vacuum(store: StoreOption = None) -> None:
    """Give unused space back to the system."""
    with open_existing_store(store) as opened, waiting("giving space back"):
        opened.vacuum()
    typer.echo("The store is compact.")
