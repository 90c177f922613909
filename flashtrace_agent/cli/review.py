"""``flashtrace-agent review``: which lines of a prompt earn their place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.errors import FlashTraceError

from .console import open_console, print_json
from .files import check_folder, write_text
from .idle_check import IdleCheck
from .options import (
    Dtype,
    DtypeOption,
    JsonOption,
    ModelOption,
    StoreOption,
    WhereOption,
    open_existing_store,
)
from .progress import waiting

if TYPE_CHECKING:
    from flashtrace_agent.review import Condition, Report
    from flashtrace_agent.review.selection import Selection
    from flashtrace_agent.store import Store


def review(
    where: WhereOption = None,
    prompt_version: Annotated[
        str | None,
        typer.Option(
            "--prompt-version",
            metavar="V",
            help="Only traces recorded with this prompt version.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="Only so many of the newest model steps.")] = 500,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="V1 V2",
            help="Review prompt version V2, and show what changed from V1.",
            show_default=False,
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="CONDITION",
            help='Exit with 1 if this holds, as in "dead_tokens > 500", "untrusted > 0.5" or '
            '"unknown_calls > 0"; may be repeated.',
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Run the model without the lines that look idle; do not ask.")
    ] = False,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="Steps to run per line that looks idle.")
    ] = 8,
    untrusted: Annotated[
        float,
        typer.Option(
            "--untrusted", min=0.0, max=1.0, help="Flag calls that came from tool results by more than this."
        ),
    ] = 0.5,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Count steps with approximate token ids too.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a standalone page.", show_default=False),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write Markdown.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    model: ModelOption = None,
    dtype: DtypeOption = Dtype.AUTO,
    store: StoreOption = None,
) -> None:
    """Say which lines of the prompt earn their place.

    Also says what the agent's calls came from. Needs attributions (`worker --all` computes them). Lines
    that look idle are proposed for removal only after the model was run without them; that takes time,
    so it is asked for first.
    """
    from flashtrace_agent.review import compare_versions
    from flashtrace_agent.review.report import report_selection
    from flashtrace_agent.review.selection import select

    conditions = _parse(fail_if or ())
    _check_versions(compare, prompt_version)
    for path in (html, markdown):
        if path is not None:
            check_folder(path.parent)

    def read(opened: Store, version: str | None) -> Selection:
        steps = opened.attributed_steps(where=where, prompt_version=version, last=last)
        return select(steps, include_approximate=approximate)

    with open_existing_store(store) as opened:
        with waiting("reading attributions"):
            chosen = read(opened, compare[1] if compare else prompt_version)
            before = read(opened, compare[0]) if compare else None
            scores = opened.scores(before.trace_ids() + chosen.trace_ids()) if before else {}
        _require_attributions(chosen, compare[1] if compare else prompt_version)
        title = _title(where, prompt_version, compare)
        comparison = None
        if before is not None and compare is not None:
            _require_attributions(before, compare[0])
            comparison = compare_versions(compare, before, chosen, scores)
        report = report_selection(chosen, title=title, threshold=untrusted, comparison=comparison)
        report = report.with_proofs(opened, sample)
        check = IdleCheck(sample, model, dtype, is_agreed=yes, may_ask=not as_json)
        report = check.run(report, opened)
    _write(report, html, markdown)
    if as_json:
        print_json(report.to_dict())
    else:
        _print(report)
    _apply(conditions, report)


def _parse(fail_if: Sequence[str]) -> list[Condition]:
    from flashtrace_agent.review import parse_condition

    try:
        return [parse_condition(text) for text in fail_if]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fail-if") from error


def _check_versions(compare: tuple[str, str] | None, prompt_version: str | None) -> None:
    if compare is not None and prompt_version is not None:
        raise typer.BadParameter("--compare names the versions; leave --prompt-version out.")
    if compare is not None and compare[0] == compare[1]:
        raise typer.BadParameter(f"{compare[0]!r} is one version: name two.", param_hint="--compare")


def _title(where: str | None, version: str | None, compare: tuple[str, str] | None) -> str:
    parts = ["Prompt review"]
    if compare is not None:
        parts.append(f"version {compare[1]} against {compare[0]}")
    if version is not None:
        parts.append(f"version {version}")
    if where is not None:
        parts.append(where)
    return ": ".join([parts[0], ", ".join(parts[1:])]) if len(parts) > 1 else parts[0]


def _require_attributions(selection: Selection, version: str | None) -> None:
    of_version = f" of prompt version {version}" if version is not None else ""
    if not selection.steps:
        raise FlashTraceError(
            f"No model step{of_version} matches: `flashtrace-agent list` shows what is recorded."
        )
    if not selection.groups:
        reasons = ", ".join(f"{count} {reason}" for reason, count in selection.left_out.items())
        raise FlashTraceError(
            f"None of the {selection.steps} model steps{of_version} can be reviewed ({reasons}): compute "
            "attributions with `flashtrace-agent worker --all`, or count approximate ones with --approximate."
        )


def _write(report: Report, html: Path | None, markdown: Path | None) -> None:
    from flashtrace_agent.review.describe import describe
    from flashtrace_agent.review.render_html import render_html
    from flashtrace_agent.review.render_markdown import render_markdown

    for path, render in ((html, render_html), (markdown, render_markdown)):
        if path is not None:
            write_text(path, render(describe(report)))
            typer.echo(f"Wrote {path}", err=True)


def _print(report: Report) -> None:
    from flashtrace_agent.review.describe import describe
    from flashtrace_agent.review.render_terminal import render_terminal

    console = open_console()
    for part in render_terminal(describe(report), console.width):
        console.print(part)


def _apply(conditions: list[Condition], report: Report) -> None:
    held = [condition for condition in conditions if condition.holds(report)]
    for condition in held:
        typer.echo(f"{condition.text} holds: {condition.metric} is {condition.value(report):.4g}.", err=True)
    if held:
        raise typer.Exit(1)
