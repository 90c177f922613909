"""``flashtrace-agent annotate``: say what you think of a trace, a step or some of its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.errors import StoreError
from flashtrace_agent.span import Span

from .console import one_line, open_console, print_json
from .options import JsonOption, StepOption, StoreOption, TraceArgument, open_existing_store
from .step_choice import choose_step

if TYPE_CHECKING:
    from flashtrace_agent.annotation import Annotation
    from flashtrace_agent.trace import Step, Trace

_NOTE = 60
"""Characters of a note in the table; --json has it whole."""


def annotate(
    trace_id: TraceArgument,
    step: StepOption = None,
    span: Annotated[
        str | None,
        typer.Option(
            "--span", metavar="START:END", help="Only these tokens of the step.", show_default=False
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="A word to filter by, as in bad.", show_default=False)
    ] = None,
    score: Annotated[
        float | None, typer.Option("--score", help="A number, as in 0.5.", show_default=False)
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Free text.", show_default=False)] = "",
    who: Annotated[
        str | None,
        typer.Option(
            "--who",
            envvar="FLASHTRACE_AGENT_USER",
            help="Who says so; by default your user name.",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[
        str | None,
        typer.Option(
            "--remove",
            metavar="ID",
            help="Take an annotation back, by its id or its first characters.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Label, score or comment on a trace, a step or a span of it.

    Without any of these, what is said is listed. Filters find it: --where "label = bad and score < 0.5".
    """
    says = label is not None or score is not None or bool(note)
    if remove is not None and (says or step or span):
        raise typer.BadParameter("--remove takes an annotation back and says nothing new.")
    if (span or step) and not says and remove is None:
        raise typer.BadParameter("Give --label, --score or --note.")
    tokens = _span(span)
    with open_existing_store(store) as opened:
        trace = opened.get_trace(trace_id)
        chosen = choose_step(trace, step) if step else None
        if tokens is not None:
            _check_span(tokens, chosen)
        if remove is not None:
            opened.delete_annotation(_chosen(opened.annotations(trace.id), remove).id)
        elif says:
            opened.annotate(
                trace.id,
                who=who or _user_name(),
                step_id=chosen.id if chosen else None,
                span=tokens,
                label=label,
                score=score,
                note=note,
            )
        found = opened.annotations(trace.id)
    if as_json:
        print_json([each.to_dict() for each in found])
    elif found:
        _print_table(trace, found)
    else:
        typer.echo(f"Nothing is said about trace {trace.id}; --label, --score and --note say something.")


def _chosen(said: list[Annotation], text: str) -> Annotation:
    found = [each for each in said if text and each.id.startswith(text)]
    if len(found) != 1:
        problem = "is the beginning of several ids" if found else "is none of its annotations"
        raise StoreError(f"{text!r} {problem}: `annotate TRACE` lists them.")
    return found[0]


def _span(text: str | None) -> Span | None:
    if text is None:
        return None
    try:
        return Span.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _check_span(span: Span, step: Step | None) -> None:
    if step is None:
        raise typer.BadParameter("--span needs --step: its numbers count that step's tokens.")
    count = len(step.token_ids or ())
    if not span or span.end > count:
        raise typer.BadParameter(f"The span {span} is empty or outside the {count} tokens of step {step.id}.")


def _user_name() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def _print_table(trace: Trace, found: list[Annotation]) -> None:
    from rich.table import Table

    numbers = {step.id: str(number) for number, step in enumerate(trace.steps, 1)}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("id", "about", "label", "score", "who", "note"):
        table.add_column(column, overflow="fold", justify="right" if column == "score" else "left")
    for each in found:
        about = "trace" if each.step_id is None else f"step {numbers.get(each.step_id, each.step_id)}"
        if each.span is not None:
            about += f", {each.span}"
        score = "" if each.score is None else f"{each.score:g}"
        cells = (each.id, about, each.label or "", score, each.who, one_line(each.note, _NOTE))
        table.add_row(*(one_line(cell, _NOTE) for cell in cells))
    open_console().print(table, markup=False)
