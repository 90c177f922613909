"""``flashtrace-agent import``: traces from a file that ``export`` or another program wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import StoreOption, open_store
from .progress import counting, waiting

if TYPE_CHECKING:
    from flashtrace_agent.store import Store


def import_traces(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A file from `export`, Phoenix spans or Langfuse observations (JSON or JSON Lines), "
            "a trace.json of the flashtrace package, or an AgentDojo run.",
            show_default=False,
        ),
    ],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="Folder or Hugging Face id of the recorded model's tokenizer, for token texts and "
            "segments in files that hold ids alone.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Read traces into the store; those it has already are replaced."""
    from flashtrace_agent.store.jsonl import import_jsonl, is_export

    with open_store(store) as opened:
        if is_export(path):
            with counting("importing bytes", 2 * path.stat().st_size) as tick:
                counts = import_jsonl(opened, path, tick)
            typer.echo(f"Read {counts} from {path}")
        else:
            _import_foreign(opened, path, tokenizer)


def _import_foreign(opened: Store, path: Path, tokenizer: str | None) -> None:
    from flashtrace_agent.integrations.importing import read_file
    from flashtrace_agent.store.counts import Counts
    from flashtrace_agent.store.whole_trace import WholeTrace

    with waiting(f"reading {path.name}"):
        form, found = read_file(path, _tokenizer(tokenizer))
    counts = Counts()
    with counting("writing traces", len(found)) as tick:
        for item in found:
            whole = WholeTrace(item.trace)
            for step_id, attribution in item.attributions:
                whole.attributions.setdefault(step_id, []).append(attribution)
            opened.write_whole_traces([whole])
            counts.add(whole)
            tick(1)
    typer.echo(f"Read {counts} from {path} ({form})")
    for item in found[:10]:
        typer.echo(f"  {item.trace.id}  {item.trace.name}")
    unnamed = sum(not attribution.segments for item in found for _, attribution in item.attributions)
    if unnamed:
        typer.echo(f"{unnamed} attributions lack token texts and segments: add --tokenizer to have them.")


def _tokenizer(name: str | None) -> Any:
    if name is None:
        return None
    from flashtrace_agent.prompt.load_tokenizer import load_tokenizer

    return load_tokenizer(name)
