"""``flashtrace-agent attribute``: compute why a recorded step did what it did."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flashtrace_agent.errors import TargetError
from flashtrace_agent.trace import Step

from .console import open_console, print_json
from .options import (
    DtypeOption,
    JsonOption,
    ModelOption,
    StepOption,
    StoreOption,
    TraceArgument,
    load_attributor,
    open_existing_store,
)
from .step_choice import choose_step


def attribute(
    trace_id: TraceArgument,
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
    method: Annotated[str, typer.Option("--method", help="Attribution method.")] = "flashtrace",
    model: ModelOption = None,
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Attribute a trace's tool calls and answers to the prompt tokens that caused them."""
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    from flashtrace_agent.engine.methods import method_named
    from flashtrace_agent.explain import explain_step

    from .sources import print_sources

    method_named(method)
    with open_existing_store(store) as opened:
        trace = opened.get_trace(trace_id)
        steps = [choose_step(trace, step)] if step else _attributable(trace.steps, trace.id)
        attributor = load_attributor(model, _recorded_model(steps), dtype)
        found: list[tuple[Step, Any]] = []
        with Progress(
            SpinnerColumn(), *Progress.get_default_columns(), TimeElapsedColumn(), transient=True
        ) as progress:
            for each in progress.track(steps, description="Attributing"):
                # Over a whole trace a step need not have every target; a chosen step must.
                names = _present(attributor, each, target) if target and not step else target
                if names is not None and not names:
                    continue
                for result in explain_step(attributor, each, names, hops=hops, method=method):
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
            f"No model step of trace {trace_id} has token ids; record the run with ChatTransformers, "
            "which knows them."
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
        "segments": [share._asdict() for share in result.by_segment() if share.share > 0],
        "top": [token._asdict() for token in result.top(10)],
    }
