"""What all commands have in common: the top-level options and how errors are reported."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flashtrace_agent import __version__
from flashtrace_agent.errors import FlashTraceError


class CommandGroup(TyperGroup):
    """Report a `FlashTraceError` as one sentence and exit code 1; ``--debug`` lets it through."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command the user named."""
        try:
            return super().invoke(ctx)
        except FlashTraceError as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from error


def start(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            callback=lambda wanted: _print_version(wanted),
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Explain why an LLM agent did what it did."""
    # The hub client's account of its retries would bury the one sentence an error gets. It sets its own
    # logger's level when it is imported, by this variable.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flashtrace-agent {__version__}")
        raise typer.Exit
