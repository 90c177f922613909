"""``flashtrace-agent attribute``: compute why a recorded step did what it did."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.errors import TargetError
from flashtrace_agent.trace import Step

from .console import open_console, print_json
from .options import (
    Dtype,
    DtypeOption,
    JsonOption,
    ModelOption,
    StepOption,
    StoreOption,
    WhereOption,
    load_attributor,
    open_existing_store,
)
from .progress import open_progress
from .step_choice import choose_step

if TYPE_CHECKING:
    from flashtrace_agent.store import Store


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
    with open_existing_store(store) as opened:
        if trace_id is not None and queue:
            queued = _queue(opened, trace_id, step, target, hops, method)
        elif queue:
            queued = opened.jobs.enqueue_where(where, method=method, hops=hops)
        elif trace_id is not None:
            _attribute_trace(opened, trace_id, step, target, hops, method, model, dtype, check, as_json)
            return
        else:
            from .selection import attribute_selection

            attribute_selection(
                opened,
                where,
                hops=hops,
                method=method,
                model=model,
                dtype=dtype,
                on_ray=engine is Engine.RAY,
                address=address,
                actors=actors,
                as_json=as_json,
            )
            return
    if as_json:
        print_json({"queued": queued})
    else:
        typer.echo(f"Queued {queued} steps. `flashtrace-agent worker` computes them.")


def _queue(
    opened: Store, trace_id: str, step: str | None, target: list[str] | None, hops: int, method: str
) -> int:
    trace = opened.get_trace(trace_id)
    if target and not step:
        raise typer.BadParameter("--queue with --target needs --step: not every step has every target.")
    steps = [choose_step(trace, step)] if step else _attributable(trace.steps, trace.id)
    return len(opened.jobs.enqueue_steps([each.id for each in steps], target, hops=hops, method=method))


def _attribute_trace(
    opened: Store,
    trace_id: str,
    step: str | None,
    target: list[str] | None,
    hops: int,
    method: str,
    model: str | None,
    dtype: Dtype,
    check: bool,
    as_json: bool,
) -> None:
    from flashtrace_agent.explain import explain_step

    from .sources import print_sources

    trace = opened.get_trace(trace_id)
    steps = [choose_step(trace, step)] if step else _attributable(trace.steps, trace.id)
    attributor = load_attributor(model, _recorded_model(steps), dtype)
    found: list[tuple[Step, Any]] = []
    with open_progress() as progress:
        for each in progress.track(steps, description="attributing"):
            # Over a whole trace a step need not have every target; a chosen step must.
            names = _present(attributor, each, target) if target and not step else target
            if names is not None and not names:
                continue
            for result in explain_step(attributor, each, names, hops=hops, method=method):
                if check:
                    result = result.check(attributor)
                opened.write_attribution(each.id, result)
                found.append((each, result))
    if not found:
        wanted = ", ".join(target) if target else "anything attributable"
        raise TargetError(f"No step of trace {trace.id} has {wanted}; `show {trace.id}` lists what there is.")
    if as_json:
        print_json([{"step": each.id, **_summary(result)} for each, result in found])
    else:
        print_sources(open_console(), found)


def _attributable(steps: list[Step], trace_id: str) -> list[Step]:
    known = [step for step in steps if step.kind == "model" and step.token_ids and step.completion_ids]
    if not known:
        raise TargetError(
            f"No model step of trace {trace_id} has token ids; find them with `flashtrace-agent tokenize "
            f"{trace_id}`, or record with ChatTransformers or ChatVLLM, which know them."
        )
    return known


def _present(attributor: Any, step: Step, wanted: list[str]) -> list[str]:
    """Return those of the wanted targets the step has; a span START:END is for one step only."""
    from flashtrace_agent.prompt.targets import step_targets

    available = step_targets(attributor.tokenizer, step)
    spans = [name for name in wanted if name[:1].isdigit()]
    if spans:
        raise TargetError(f"The span {spans[0]} needs to know its step; add --step.")
    return [name for name in wanted if name in available]


def _recorded_model(steps: list[Step]) -> str | None:
    names = {step.model for step in steps if step.model}
    return names.pop() if len(names) == 1 else None


def _summary(result: Any) -> dict[str, Any]:
    return {
        "target": result.target_name,
        "text": result.target_text,
        "method": result.method,
        "hops": len(result.hops) - 1,
        "fidelity": result.fidelity,
        "check": result.checked.to_dict() if result.checked else None,
        "segments": [share._asdict() for share in result.by_segment() if share.share > 0],
        "top": [token._asdict() for token in result.top(10)],
    }
