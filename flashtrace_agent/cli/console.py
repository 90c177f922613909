"""Print for a person at a terminal, and plainly into a pipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

STATUS_STYLES = {"ok": "green", "error": "red", "incomplete": "yellow"}
"""How the status of a trace or a step is coloured."""

_PIPE_WIDTH = 400
"""Columns when the output is no terminal: nothing is cut short for a width nobody sees."""


def open_console() -> Console:
    """Return a console on standard output; without colours and wide where that is a pipe."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def print_json(value: Any) -> None:
    """Print `value` as indented JSON, in characters any terminal encoding can carry."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=True))


def one_line(text: str, limit: int) -> str:
    """Return `text` on one line of at most `limit` characters, an ellipsis where it was cut.

    What a model wrote may hold escape sequences that would drive the terminal; they become spaces.
    """
    clean = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "…"


def arguments_line(arguments: Mapping[str, Any] | str, limit: int) -> str:
    """Return a call's arguments on one line of at most `limit` characters, as in ``item="sofa", count=2``."""
    if isinstance(arguments, str):
        return one_line(arguments, limit)
    pairs = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return one_line(", ".join(pairs), limit)
