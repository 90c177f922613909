"""Export traces as standalone HTML pages, with a page that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from flashtrace_agent.atomic_file import replace_files
from flashtrace_agent.html import markup
from flashtrace_agent.html_trace import render_trace_html
from flashtrace_agent.trace import Trace

from .counts import Counts, Tick, no_tick
from .store import Store


def export_html(store: Store, folder: Path, where: str | None = None, tick: Tick = no_tick) -> Counts:
    """Write a page for each trace a filter finds, and ``index.html``, into `folder`.

    Raises:
        FlashTraceError: if the folder cannot be written.
    """
    counts = Counts()
    with replace_files(folder) as partial, (partial / "index.html").open("w", encoding="utf-8") as index:
        index.write(_INDEX_BEGINS)
        for whole in store.whole_traces(where):
            name = f"{quote(whole.trace.id, safe='')}.html"  # an imported id may be ../../anything
            page = render_trace_html(whole.trace, whole.attributions, whole.annotations)
            (partial / name).write_text(page, encoding="utf-8")
            index.write("".join(_row(whole.trace, name)) + "\n")
            counts.add_steps(whole)
            counts.annotations += len(whole.annotations)
            tick(1)
        index.write(_INDEX_ENDS)
    return counts


def _row(trace: Trace, name: str) -> Iterator[str]:
    yield f'<tr><td><a href="{markup(quote(name))}">{markup(trace.name or trace.id)}</a></td>'
    for cell in (trace.status, f"{trace.started_at:%Y-%m-%d %H:%M}", f"{len(trace.steps)} steps"):
        yield f"<td>{markup(cell)}</td>"
    yield "</tr>"


_INDEX_BEGINS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Traces</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; }
td { padding: .1rem 1.5rem .1rem 0; }
</style>
</head>
<body>
<table>
"""

_INDEX_ENDS = """</table>
</body>
</html>
"""
