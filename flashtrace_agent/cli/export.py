"""``flashtrace-agent export``: traces as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import StoreOption, WhereOption, open_existing_store


class ExportFormat(StrEnum):
    """What to write."""

    JSONL = "jsonl"
    PARQUET = "parquet"


def export(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="File for jsonl, folder for parquet."),
    ],
    where: WhereOption = None,
    file_format: Annotated[
        ExportFormat,
        typer.Option("--format", help="jsonl can be imported again; parquet is for data frames."),
    ] = ExportFormat.JSONL,
    store: StoreOption = None,
) -> None:
    """Write traces with their steps and attributions to files."""
    from flashtrace_agent.store.jsonl import export_jsonl

    with open_existing_store(store) as opened:
        if file_format is ExportFormat.PARQUET:
            from flashtrace_agent.store.parquet import export_parquet

            counts = export_parquet(opened, output, where)
        else:
            counts = export_jsonl(opened, output, where)
    typer.echo(f"Wrote {counts} to {output}")
