"""``flashtrace-agent show``: one trace, step by step, with what each choice drew on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flashtrace_agent.errors import FlashTraceError, StoreError
from flashtrace_agent.trace import Step, Trace

from .console import open_console, print_json
from .files import write_text
from .options import (
    Dtype,
    DtypeOption,
    JsonOption,
    ModelOption,
    StepOption,
    StoreOption,
    open_existing_store,
)
from .step_choice import choose_step

if TYPE_CHECKING:
    from flashtrace_agent.store import Store
    from flashtrace_agent.trajectory import Trajectory

Summaries = dict[str, list[dict[str, Any]]]


def show(
    trace_id: Annotated[
        str | None,
        typer.Argument(
            metavar="TRACE",
            help="A trace's id, or its first characters; by default the newest.",
            show_default=False,
        ),
    ] = None,
    step: StepOption = None,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write the attributions as a standalone page.", show_default=False
        ),
    ] = None,
    trajectory: Annotated[
        bool,
        typer.Option("--trajectory", help="Trace the final answer back through all steps of the run."),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="With --trajectory: trace this back, as in tool_name or argument:NAME, from --step "
            "or from the last step that has it.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    dtype: DtypeOption = Dtype.AUTO,
    store: StoreOption = None,
) -> None:
    """Show a trace and what each of its choices drew on."""
    if target is not None and not trajectory:
        raise typer.BadParameter("add --trajectory to trace a target back", param_hint="--target")
    with open_existing_store(store) as opened:
        trace = opened.get_trace(_newest(opened) if trace_id is None else trace_id)
        if trajectory:
            from flashtrace_agent.following import choose_step_of

            from .trajectory import trace_back

            asked = choose_step(trace, step) if step else choose_step_of(trace, target)
            _print_trajectory(trace, trace_back(opened, trace, asked, target, model, dtype), as_json)
            return
        chosen = trace.steps if step is None else [choose_step(trace, step)]
        if html is not None:
            _write_page(opened, trace, chosen, html)
            return
        summaries = opened.attribution_summaries(trace.id)
        said = opened.annotations(trace.id)
    if as_json:
        shown = {each.id for each in chosen}
        about = [each.to_dict() for each in said if each.step_id is None or each.step_id in shown]
        print_json(trace_json(trace, chosen, summaries) | {"annotations": about})
        return
    from .trace_tree import trace_tree

    open_console().print(trace_tree(trace, chosen, summaries, said))


def _newest(opened: Store) -> str:
    found = opened.list_traces(limit=1)
    if not found:
        raise StoreError("The store has no traces yet: run `flashtrace-agent demo` to record some.")
    return found[0].id


def _print_trajectory(trace: Trace, found: Trajectory, as_json: bool) -> None:
    if as_json:
        print_json(found.to_dict())
        return
    from .trajectory_tree import trajectory_tree

    open_console().print(trajectory_tree(trace, found))


def trace_json(trace: Trace, steps: list[Step], summaries: Summaries) -> dict[str, Any]:
    """Return what ``show --json`` prints. Scripts rely on these keys: add some, rename none."""
    return {
        "id": trace.id,
        "name": trace.name,
        "status": trace.status,
        "session": trace.session,
        "metadata": trace.metadata,
        "steps": [_step_json(step, summaries.get(step.id, [])) for step in steps],
    }


def _step_json(step: Step, attributions: list[dict[str, Any]]) -> dict[str, Any]:
    from flashtrace_agent.store.steps import count_tokens

    output = step.output
    return {
        "id": step.id,
        "kind": step.kind,
        "name": step.name,
        "parent_id": step.parent_id,
        "status": step.status,
        "error": step.error,
        "input": [message.to_dict() for message in step.input],
        "output": output.to_dict() if output else None,
        "reasoning": output.reasoning if output else None,
        "tool_calls": [call.to_dict() for call in output.tool_calls] if output else [],
        "tool_call_id": step.tool_call_id,
        "result": step.result,
        "fidelity": step.fidelity,
        "fidelity_reason": step.fidelity_reason or None,
        "tokens": count_tokens(step),
        "attributions": attributions,
    }


def _write_page(opened: Store, trace: Trace, steps: list[Step], path: Path) -> None:
    from flashtrace_agent.html import render_html

    attributions = [found for step in steps for found in opened.get_attributions(step.id)]
    if not attributions:
        raise FlashTraceError(
            f"Nothing is attributed here yet: run `flashtrace-agent attribute {trace.id}` first."
        )
    write_text(path, render_html(attributions))
    typer.echo(f"Wrote {path}")
