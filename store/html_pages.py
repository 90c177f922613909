"""Export traces as standalone HTML pages, with a page that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flashtrace_agent.errors import StoreError
from flashtrace_agent.html import markup
from flashtrace_agent.html_trace import render_trace_html
from flashtrace_agent.trace import Trace

from .jsonl import Counts, trace_ids
from .store import Store


def export_html(store: Store, folder: Path, where: str | None = None) -> Counts:
    """Write a page for each trace a filter finds, and ``index.html``, into `folder`.

    Raises:
        StoreError: if the folder cannot be written.
    """
    counts = Counts()
    rows: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for trace_id in trace_ids(store, where):
            trace = store.get_trace(trace_id)
            found = {step.id: store.get_attributions(step.id) for step in trace.steps}
            said = store.annotations(trace_id)
            name = f"{trace.id}.html"
            (folder / name).write_text(render_trace_html(trace, found, said), encoding="utf-8")
            rows.append("".join(_row(trace, name)))
            counts.traces += 1
            counts.steps += len(trace.steps)
            counts.attributions += sum(map(len, found.values()))
            counts.annotations += len(said)
        (folder / "index.html").write_text(_INDEX.format(rows="\n".join(rows)), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error}): choose another folder.") from error
    return counts


def _row(trace: Trace, name: str) -> Iterator[str]:
    yield f'<tr><td><a href="{markup(name)}">{markup(trace.name or trace.id)}</a></td>'
    for cell in (trace.status, f"{trace.started_at:%Y-%m-%d %H:%M}", f"{len(trace.steps)} steps"):
        yield f"<td>{markup(cell)}</td>"
    yield "</tr>"


_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Traces</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; }}
td {{ padding: .1rem 1.5rem .1rem 0; }}
</style>
</head>
<body>
<table>
{rows}
</table>
</body>
</html>
"""
