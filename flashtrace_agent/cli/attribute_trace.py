"""Attribute the steps of one trace, or queue them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from flashtrace_agent.errors import TargetError
from flashtrace_agent.trace import Step

from .console import open_console, print_json
from .loaded_model import LoadedModel
from .progress import open_progress
from .recipe import Recipe
from .sources import print_sources
from .step_choice import choose_step

if TYPE_CHECKING:
    from flashtrace_agent.store import Store


def queue_trace(
    opened: Store, trace_id: str, step: str | None, target: list[str] | None, recipe: Recipe
) -> int:
    """Queue a trace's steps, or one of them, for workers; return how many."""
    trace = opened.get_trace(trace_id)
    if target and not step:
        raise typer.BadParameter("--queue with --target needs --step: not every step has every target.")
    steps = [choose_step(trace, step)] if step else _attributable(trace.steps, trace.id)
    ids = [each.id for each in steps]
    return len(opened.jobs.enqueue_steps(ids, target, hops=recipe.hops, method=recipe.method))


def attribute_trace(
    opened: Store,
    trace_id: str,
    step: str | None,
    target: list[str] | None,
    recipe: Recipe,
    *,
    check: bool,
    as_json: bool,
) -> None:
    """Attribute a trace's steps, or one of them, store what was found, and print it.

    Raises:
        TargetError: if no step can be attributed or has one of the targets.
    """
    from flashtrace_agent.explain import explain_step

    trace = opened.get_trace(trace_id)
    steps = [choose_step(trace, step)] if step else _attributable(trace.steps, trace.id)
    loaded = LoadedModel(recipe.model, recipe.dtype)
    found: list[tuple[Step, Any]] = []
    with open_progress() as progress:
        for each in progress.track(steps, description="attributing"):
            attributor = loaded.for_step(each)
            # Over a whole trace a step need not have every target; a chosen step must.
            names = _present(attributor, each, target) if target and not step else target
            if names is not None and not names:
                continue
            for result in explain_step(attributor, each, names, hops=recipe.hops, method=recipe.method):
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


def _summary(result: Any) -> dict[str, Any]:
    return {
        "target": result.target_name,
        "text": result.target_text,
        "method": result.method,
        "hops": result.asked_hops,
        "fidelity": result.fidelity,
        "check": result.checked.to_dict() if result.checked else None,
        "segments": [share._asdict() for share in result.by_segment() if share.share > 0],
        "top": [token._asdict() for token in result.top(10)],
    }
