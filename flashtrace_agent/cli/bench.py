"""``flashtrace-agent bench``: what attribution costs on this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flashtrace_agent.models import DEFAULT_MODEL

from .console import open_console, print_json
from .files import check_folder
from .options import JsonOption
from .progress import open_progress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from flashtrace_agent.bench.case import Case


def bench(
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Model to measure on.")
    ] = DEFAULT_MODEL,
    shape: Annotated[
        str | None,
        typer.Option(
            "--shape",
            metavar="NAME",
            help="Random weights of a named shape instead (qwen3-8b, …).",
            show_default=False,
        ),
    ] = None,
    cases: Annotated[
        str,
        typer.Option("--cases", metavar="CASES", help="PROMPT:GENERATED in tokens, separated by commas."),
    ] = "1000:500",
    subjects: Annotated[
        str,
        typer.Option(
            "--subjects",
            metavar="NAMES",
            help="What to time, separated by commas: forward; walk, walk_kept (from a kept capture), "
            "walk_ten_targets; attribution, kept and ten_targets by the method flashtrace; generation, "
            "generation_kept, tokenwise, reference (flashtrace 0.1.1, extra [bench]); or all.",
        ),
    ] = "forward,walk,walk_kept",
    memory: Annotated[bool, typer.Option("--memory", help="Measure peak memory in fresh processes.")] = False,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Timed rounds after the warm-up.")] = 5,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Write a section of this Markdown file.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time attribution beside the model's own forward pass.

    Rivals are timed in the same run, see --subjects.
    """
    from flashtrace_agent.bench.case import Case
    from flashtrace_agent.bench.report import markdown_table, write_results
    from flashtrace_agent.bench.subjects import subjects_named

    parsed = [Case.parse(text.strip()) for text in cases.split(",")]
    if output is not None:
        check_folder(output.parent)
    where, rows = _measure(parsed, subjects_named(subjects), model, shape, repeats, memory=memory)
    if output is not None:
        command = shlex.join(["flashtrace-agent", *sys.argv[1:]])
        write_results(output, f"Attribution on {where['model']}", command, where, markdown_table(rows))
    if as_json:
        print_json({"environment": where, "rows": rows})
    else:
        _print(where, rows)


def _measure(
    cases: list[Case], subjects: list[str], model: str, shape: str | None, repeats: int, *, memory: bool
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return on what was measured, and a row for each case and subject."""
    from flashtrace_agent.bench.case import load_subject_model
    from flashtrace_agent.bench.measure import interleaved_medians, peak_memory
    from flashtrace_agent.bench.report import environment
    from flashtrace_agent.bench.subjects import SUBJECTS

    attributor = load_subject_model(model, shape, max(case.prompt + case.generated for case in cases))
    rows: list[dict[str, Any]] = []
    # A thread that redraws the bar would take the interpreter from what is being timed.
    with open_progress(auto_refresh=False) as progress:
        steps = len(subjects) * (repeats + 1 + memory)
        bar = progress.add_task("measuring", total=steps * len(cases))
        for case in cases:
            runs = {name: SUBJECTS[name].prepare(attributor, case) for name in subjects}
            seconds = interleaved_medians(runs, repeats, lambda: _advance(progress, bar))
            for name in subjects:
                peak = 0
                if memory:
                    peak = peak_memory(model, shape, case, name)
                    _advance(progress, bar)
                rows.append(
                    {
                        "prompt": case.prompt,
                        "generated": case.generated,
                        "subject": name,
                        "seconds": seconds[name],
                        "ratio": seconds[name] / seconds["forward"],
                        "peak_bytes": peak,
                    }
                )
    return environment(attributor.model_name), rows


def _print(where: dict[str, str], rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from flashtrace_agent.bench.subjects import SUBJECTS

    table = Table("tokens in + out", "subject", "seconds", "× forward", "peak GB")
    for row in rows:
        peak = f"{row['peak_bytes'] / 1e9:.2f}" if row["peak_bytes"] else ""
        size = f"{row['prompt']:,} + {row['generated']:,}"
        label = SUBJECTS[row["subject"]].label
        table.add_row(size, label, f"{row['seconds']:.3f}", f"{row['ratio']:.2f}", peak)
    console = open_console()
    for fact, value in where.items():
        console.print(f"{fact}: {value}")
    console.print(table)


def _advance(progress: Progress, bar: TaskID) -> None:
    progress.advance(bar)
    progress.refresh()
