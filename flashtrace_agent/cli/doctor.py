"""``flashtrace-agent doctor``: what is installed, and a word on each problem."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata

import typer

from flashtrace_agent import models as catalogue
from flashtrace_agent.errors import FlashTraceError

from .console import open_console, print_json
from .options import JsonOption, StoreOption, open_existing_store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``ok`` tells whether the main job can rely on it."""

    what: str
    ok: bool
    detail: str


def doctor(as_json: JsonOption = False, store: StoreOption = None) -> None:
    """Check packages, device, model and store.

    Exits with 1 if something needed is broken.
    """
    findings = [_python(), *_packages(), _device(), _model(), *_store(store)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table("", "what")
        table.add_column("finding", overflow="fold")  # paths whole, to be copied
        for finding in findings:
            state = Text("ok", "green") if finding.ok else Text("problem", "red")
            table.add_row(state, finding.what, Text(finding.detail))
        open_console().print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _python() -> Finding:
    return Finding("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> list[Finding]:
    names = ["flashtrace-agent", "torch", "transformers", "accelerate", "langchain-core", "opentelemetry-sdk"]
    names += ["sqlalchemy", "alembic", "typer", "streamlit"]
    found = [_attempt(name, partial(metadata.version, name)) for name in names]
    try:
        found.append(Finding("langchain", True, metadata.version("langchain")))
    except metadata.PackageNotFoundError:
        text = "not installed; the demo and `create_agent` need it: pip install 'flashtrace-agent[demo]'"
        found.append(Finding("langchain", True, text))
    return found


def _device() -> Finding:
    def look() -> str:
        import torch

        if torch.cuda.is_available():
            from flashtrace_agent.engine.kernels import launcher_trouble

            free, total = torch.cuda.mem_get_info()
            text = f"{torch.cuda.get_device_name()}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
            trouble = launcher_trouble()
            return text + (f"; kernels cannot be launched: {trouble}" if trouble else "")
        return f"CPU, {torch.get_num_threads()} threads (no CUDA device seen)"

    return _attempt("device", look)


def _model() -> Finding:
    name = catalogue.DEFAULT_MODEL
    if catalogue.is_fetched(name):
        return Finding("default model", True, f"{name} in {catalogue.model_folder(name)}")
    return Finding("default model", True, f"{name} is not fetched yet; run `flashtrace-agent models fetch`")


def _store(url: str | None) -> list[Finding]:
    def look() -> str:
        from flashtrace_agent.store import Store

        with open_existing_store(url) as opened:
            newest = opened.list_traces(limit=1)
        where = url or Store.default_url()
        return (
            f"{where}, newest trace {newest[0].id}"
            if newest
            else f"{where}, empty: run `flashtrace-agent demo`"
        )

    def look_for_gaps() -> str:
        with open_existing_store(url) as opened:
            dropped, traces = opened.dropped_steps()
        if not dropped:
            return "no trace lacks steps"
        return (
            f"{dropped:,} steps of {len(traces):,} traces were dropped because the store could not keep up, "
            f"last in {traces[0]}: raise the handler's max_queue, or write to a faster store"
        )

    found = _attempt("store", look)
    return [found, _attempt("recording", look_for_gaps)] if found.ok else [found]


def _attempt(what: str, look: Callable[[], str]) -> Finding:
    """Return what `look` finds; a failure becomes the finding, since finding it is the purpose."""
    try:
        return Finding(what, True, look())
    except metadata.PackageNotFoundError:
        return Finding(what, False, "not installed; run `pip install flashtrace-agent` again")
    except (FlashTraceError, ImportError, OSError, RuntimeError) as error:
        return Finding(what, False, str(error))
