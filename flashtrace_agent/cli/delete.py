"""``flashtrace-agent delete``: delete traces, after showing which."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.count_of import count_of

from .options import StoreOption, open_existing_store
from .progress import counting, waiting

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

_SHOWN = 20
_BATCH = 20
"""Traces deleted in one transaction, so that others need not wait long."""

_AGE = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:min|[smhdw])")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def delete(
    trace_id: Annotated[
        str | None, typer.Argument(metavar="TRACE", help="One trace, by id.", show_default=False)
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="FILTER",
            help='Traces a filter finds, as in "before 30d and not tag = keep".',
            show_default=False,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="Only traces that began longer ago, as in 30d or 12h.",
            show_default=False,
        ),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size",
            metavar="SIZE",
            help="The oldest traces (of those a filter finds), until the store takes less, as in 2GB.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only show what would go.")] = False,
    store: StoreOption = None,
) -> None:
    """Delete traces; shows what would go unless --yes is given.

    What other traces refer to stays. The freed space is given back to the system.
    """
    if (trace_id is None) == (where is None and older_than is None and max_size is None):
        raise typer.BadParameter(
            "Give either a TRACE, or --where, --older-than, --max-size or several of them."
        )
    if older_than is not None:
        where = _older(older_than, where)
    limit = None if max_size is None else _bytes(max_size)
    with open_existing_store(store) as opened:
        with waiting("looking for what would go"):
            if trace_id is not None:
                plan = opened.plan_deletion_of(trace_id)
            else:
                plan = opened.plan_deletion(where, max_bytes=limit)
        for each in plan.ids[:_SHOWN]:
            typer.echo(each)
        if len(plan.ids) > _SHOWN:
            typer.echo(f"… and {len(plan.ids) - _SHOWN} more")
        what = (
            f"{count_of(len(plan.ids), 'trace')} with {count_of(plan.steps, 'step')} and "
            f"{count_of(plan.attributions, 'attribution')}"
        )
        if not yes:
            typer.echo(f"Would delete {what}; add --yes to do it.")
            return
        before = opened.describe()["bytes"]
        _delete(opened, plan.ids)
        typer.echo(f"Deleted {what}.")
        if plan.ids:
            with waiting("giving space back"):
                opened.vacuum()
            freed = (before - opened.describe()["bytes"]) / 1e6
            typer.echo(f"{freed:,.1f} MB are free again.")


def _delete(opened: Store, trace_ids: list[str]) -> None:
    with counting("deleting traces", len(trace_ids)) as tick:
        for start in range(0, len(trace_ids), _BATCH):
            batch = trace_ids[start : start + _BATCH]
            opened.delete_traces(batch)
            tick(len(batch))


def _older(age: str, where: str | None) -> str:
    """Return the filter for traces older than an age, of those another filter finds."""
    from flashtrace_agent.store.filter_syntax import parse_filter

    if not _AGE.fullmatch(age):
        raise typer.BadParameter(f"{age!r} is no age; write one as in 30d or 12h.")
    if where is None:
        return f"before {age}"
    parse_filter(where)  # by itself: a parenthesis too many must not open the one it is put in
    return f"before {age} and ({where})"


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)\s*([kmgt]?)b?", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size; write one as in 500MB or 2GB.")
    return int(float(match[1]) * _UNITS[match[2]])
