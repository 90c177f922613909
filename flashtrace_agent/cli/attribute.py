"""``flashtrace-agent attribute``: compute why a recorded step did what it did."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flashtrace_agent.count_of import count_of
from flashtrace_agent.defaults import DEFAULT_METHOD

from .attribute_trace import attribute_trace, queue_trace
from .console import print_json
from .options import (
    Dtype,
    DtypeOption,
    JsonOption,
    ModelOption,
    StepOption,
    StoreOption,
    WhereOption,
    open_existing_store,
)
from .recipe import Recipe
from .selection import Cluster, attribute_selection


class Engine(StrEnum):
    """Where a selection is computed."""

    LOCAL = "local"
    RAY = "ray"


def attribute(
    trace_id: Annotated[
        str | None,
        typer.Argument(metavar="TRACE", help="A trace's id, or its first characters.", show_default=False),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="tool_name, argument:NAME, answer, reasoning, or START:END in tokens; may be repeated. "
            "By default everything the step wrote.",
            show_default=False,
        ),
    ] = None,
    step: StepOption = None,
    hops: Annotated[
        int, typer.Option("--hops", min=0, help="How often influence on the reasoning is passed on.")
    ] = 1,
    method: Annotated[str, typer.Option("--method", help="Attribution method.")] = DEFAULT_METHOD,
    where: WhereOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every model step that is not attributed yet.")
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Queue it for `worker` and compute nothing now.")
    ] = False,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Where a selection (--where, --all) is computed.")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="The Ray cluster, as in auto on one of its machines; by default one is started here.",
            show_default=False,
        ),
    ] = None,
    actors: Annotated[
        int | None,
        typer.Option("--actors", min=1, help="Ray actors; by default one a GPU.", show_default=False),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Remove the top tokens, and as many random ones, and see what the target loses."
        ),
    ] = False,
    model: ModelOption = None,
    dtype: DtypeOption = Dtype.AUTO,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Trace tool calls and answers to the tokens that caused them.

    With --where or --all: every model step of a selection that is not attributed yet; interrupted, the
    same command goes on.
    """
    from flashtrace_agent.engine.methods import method_named

    method_named(method)
    selected = where is not None or everything
    if selected == (trace_id is not None):
        raise typer.BadParameter("Give either a TRACE, or --where or --all.")
    if selected and (step or target):
        raise typer.BadParameter("--step and --target are for one TRACE; a selection is attributed whole.")
    if (engine is Engine.RAY and (queue or not selected)) or (engine is Engine.LOCAL and (address or actors)):
        raise typer.BadParameter(
            "--address and --actors go with --engine ray, and that with --where or --all, not --queue."
        )
    if check and (queue or selected):
        raise typer.BadParameter(
            "--check is for one TRACE, computed here: leave out --queue, --where and --all."
        )
    recipe = Recipe(hops, method, model, dtype)
    with open_existing_store(store) as opened:
        if queue:
            if trace_id is None:
                queued = opened.jobs.enqueue_where(where, method=method, hops=hops)
            else:
                queued = queue_trace(opened, trace_id, step, target, recipe)
            if as_json:
                print_json({"queued": queued})
            else:
                typer.echo(f"Queued {count_of(queued, 'step')}. `flashtrace-agent worker` computes them.")
        elif trace_id is not None:
            attribute_trace(opened, trace_id, step, target, recipe, check=check, as_json=as_json)
        else:
            cluster = Cluster(address, actors) if engine is Engine.RAY else None
            attribute_selection(opened, where, recipe, cluster, as_json=as_json)
