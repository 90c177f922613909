"""Options that several commands share, and the store they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="FLASHTRACE_AGENT_STORE",
        metavar="URL",
        help="The store, as in sqlite:///traces.db; by default a file in the user's data folder.",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

TraceArgument = Annotated[
    str, typer.Argument(metavar="TRACE", help="A trace's id, or its first characters.", show_default=False)
]

StepOption = Annotated[
    str | None,
    typer.Option(
        "--step",
        metavar="S",
        help="One step only: its number in `show`, its id, or its id's first characters.",
        show_default=False,
    ),
]


def open_store(url: str | None) -> Store:
    """Open the store a `StoreOption` names.

    Raises:
        StoreError: if it cannot be opened.
    """
    from flashtrace_agent.store import Store

    return Store(url or Store.default_url())
