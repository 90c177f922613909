"""``flashtrace-agent import``: traces from a file that ``export`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import StoreOption, open_store


def import_traces(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A JSON Lines file from `export`.", show_default=False)
    ],
    store: StoreOption = None,
) -> None:
    """Read exported traces into the store; those it has already are replaced."""
    from flashtrace_agent.store.jsonl import import_jsonl

    with open_store(store) as opened:
        counts = import_jsonl(opened, path)
    typer.echo(f"Read {counts} from {path}")
