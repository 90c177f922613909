"""``flashtrace-agent export``: traces as files."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import StoreOption, WhereOption, open_existing_store
from .progress import Tick, counting

if TYPE_CHECKING:
    from flashtrace_agent.store import Store
    from flashtrace_agent.store.counts import Counts


class ExportFormat(StrEnum):
    """What to write."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    OTLP = "otlp"
    HTML = "html"


def export(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PATH", help="File for jsonl and otlp, folder for parquet and html."
        ),
    ],
    where: WhereOption = None,
    file_format: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="jsonl is complete and can be imported again; parquet is for data frames; otlp has spans "
            "for tracing backends; html has a page for each trace.",
        ),
    ] = ExportFormat.JSONL,
    store: StoreOption = None,
) -> None:
    """Write traces with their steps and attributions to files."""
    with open_existing_store(store) as opened:
        write = _writer(file_format)
        with counting("exporting traces", opened.count_traces(where)) as tick:
            counts = write(opened, output, where, tick)
    typer.echo(f"Wrote {counts} to {output}")


def _writer(file_format: ExportFormat) -> Callable[[Store, Path, str | None, Tick], Counts]:
    match file_format:
        case ExportFormat.JSONL:
            from flashtrace_agent.store.jsonl import export_jsonl

            return export_jsonl
        case ExportFormat.PARQUET:
            from flashtrace_agent.store.parquet import export_parquet

            return export_parquet
        case ExportFormat.OTLP:
            from flashtrace_agent.integrations.opentelemetry.otlp_file import export_otlp

            return export_otlp
        case ExportFormat.HTML:
            from flashtrace_agent.store.html_pages import export_html

            return export_html
