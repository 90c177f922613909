"""Bars on standard error for what may take longer than two seconds; into a pipe nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Tick = Callable[[int], None]


def open_progress(*, auto_refresh: bool = True) -> Progress:
    """Return a bar for a command that says itself what it is at."""
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn

    return _progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        auto_refresh=auto_refresh,
    )


@contextmanager
def counting(doing: str, total: int) -> Iterator[Tick]:
    """Show how far something is, and yield what to call with how much more of `total` is done."""
    with open_progress() as progress:
        bar = progress.add_task(doing, total=total)
        yield lambda more: progress.advance(bar, more)


@contextmanager
def waiting(doing: str) -> Iterator[Callable[[str], None]]:
    """Show that something goes on whose end cannot be foreseen, and for how long it has.

    Yields what to call when something else is done.
    """
    from rich.progress import TimeElapsedColumn

    with _progress(TimeElapsedColumn()) as progress:
        bar = progress.add_task(doing, total=None)
        yield lambda now: progress.update(bar, description=now)


def _progress(*columns: ProgressColumn, auto_refresh: bool = True) -> Progress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # it may quote a prompt
        *columns,
        console=console,
        transient=True,
        auto_refresh=auto_refresh,
        disable=not console.is_terminal,
    )
