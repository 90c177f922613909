"""The command line ``flashtrace-agent``.

Each command is a function in a file of its own, registered here by one line. A command imports
what is heavy (torch, SQLAlchemy, Streamlit) inside its function, so that ``--help`` stays quick.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

import typer

from .annotate import annotate
from .attribute import attribute
from .bench import bench
from .collect import collect
from .compare import compare
from .dashboard import dashboard
from .db import app as db_app
from .delete import delete
from .demo import demo
from .doctor import doctor
from .eval import evaluate
from .export import export
from .frame import CommandGroup, start
from .import_traces import import_traces
from .list_traces import list_traces
from .models import app as models_app
from .review import review
from .search import search
from .send import send
from .show import show
from .tokenize import tokenize
from .worker import worker

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help; Rich's takes a quarter of a second to import
    help="Explain why an LLM agent did what it did.",
)
app.callback()(start)

app.command("demo")(demo)
app.command("list")(list_traces)
app.command("show")(show)
app.command("search")(search)
app.command("attribute")(attribute)
app.command("compare")(compare)
app.command("tokenize")(tokenize)
app.command("review")(review)
app.command("worker")(worker)
app.command("annotate")(annotate)
app.command("dashboard")(dashboard)
app.command("collect")(collect)
app.command("doctor")(doctor)
app.command("bench")(bench)
app.command("eval")(evaluate)
app.command("export")(export)
app.command("import")(import_traces)
app.command("send")(send)
app.command("delete")(delete)
app.add_typer(db_app, name="db")
app.add_typer(models_app, name="models")


def main() -> None:
    """Run the command line; the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe's encoding may lack the arrows of the tables
    app(prog_name="flashtrace-agent")


__all__ = ["app", "main"]
