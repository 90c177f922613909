"""``flashtrace-agent demo``: a real agent on a real model, explained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.models import DEFAULT_MODEL

from .console import one_line, open_console
from .options import StoreOption, open_store
from .progress import open_progress
from .sources import sources_line

if TYPE_CHECKING:
    from rich.console import Console

    from flashtrace_agent.demo.run import DemoRun
    from flashtrace_agent.trace import Step

_SHOWN_TARGETS = ("tool_name", "argument:", "invalid_call", "answer")


def demo(
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Model that answers and is explained.")
    ] = DEFAULT_MODEL,
    store: StoreOption = None,
) -> None:
    """Run an agent on six questions and show what caused its answers."""
    try:
        from flashtrace_agent.demo.agent import QUESTIONS
        from flashtrace_agent.demo.run import run_demo
    except ImportError as error:
        raise FlashTraceError(
            "The demo's agent needs LangChain; run `pip install 'flashtrace-agent[demo]'`."
        ) from error

    console = open_console()
    started = time.perf_counter()
    with open_store(store) as opened, open_progress() as progress:
        bar = progress.add_task("starting", total=len(QUESTIONS))
        for run in run_demo(opened, model, lambda stage: progress.update(bar, description=stage)):
            progress.advance(bar)
            _print_run(console, run)
    seconds = time.perf_counter() - started
    where = f" --store {store}" if store else ""
    console.print(f"{len(QUESTIONS)} runs recorded and explained in {seconds:.0f} s. Look closer with")
    console.print(f"  flashtrace-agent dashboard{where}")
    console.print(
        "Shares say what the model's computation drew on. They are evidence, not proof.", style="dim"
    )


def _print_run(console: Console, run: DemoRun) -> None:
    from rich.text import Text

    console.print(Text(run.question, style="bold"))
    for step in run.trace.steps:
        for line in _step_lines(step):
            console.print(Text(f"  {line}"))
        for attribution in run.attributions[step.id]:
            if attribution.target_name.startswith(_SHOWN_TARGETS):
                console.print(sources_line(attribution, indent="    "))
    if run.trace.error:
        console.print(Text(f"  stopped: {one_line(run.trace.error, 90)}", style="red"))
    console.print()


def _step_lines(step: Step) -> list[str]:
    """Say what a step did: the calls it made, the result it brought, or the answer it gave."""
    if step.kind == "tool":
        return [f"→ {one_line(step.error or step.result or '', 90)}"]
    if step.output is None:
        return []
    lines = []
    for call in step.output.tool_calls:
        arguments = call.arguments if isinstance(call.arguments, str) else dict(call.arguments)
        lines.append(f"calls {call.name} {one_line(str(arguments), 70)}")
    if step.output.content.strip():
        lines.append(f"answers “{one_line(step.output.content, 90)}”")
    return lines or ["says nothing"]
