"""Each trace is a page that asks nothing of the network."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.store.html_pages import export_html

from .examples import make_attribution, make_model_step, make_tool_step, make_trace

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \ud800"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the pages of two traces, one attributed and full of markup, one bare."""
    with Store(f"sqlite:///{tmp_path}/traces.db") as store:
        trace = make_trace(name=EVIL, error=EVIL, tags=[EVIL])
        store.write_trace(trace)
        opening = [Message("system", "You count."), Message("user", EVIL)]
        first = make_model_step(trace, input=opening, output=Message("assistant", "x", reasoning=EVIL))
        tool = make_tool_step(trace, 1, first, arguments={"a": EVIL}, result=EVIL, error=EVIL)
        tool = replace(tool, name=EVIL)
        assert first.output is not None
        again = make_model_step(trace, 2, input=[*opening, first.output, Message("user", "Sure?")])
        store.write_steps([first, tool, again])
        store.write_attribution(first.id, make_attribution(first.token_ids or []))
        store.annotate(trace.id, who=EVIL, step_id=first.id, label=EVIL, score=0.5)
        bare = make_trace("bare", milliseconds=5, name="bare")
        store.write_trace(bare)
        counts = export_html(store, tmp_path / "pages")
        assert (counts.traces, counts.steps, counts.attributions, counts.annotations) == (2, 3, 1, 1)
        with pytest.raises(FlashTraceError, match="cannot be written"):
            export_html(store, tmp_path / "traces.db")
    return tmp_path / "pages"


def test_what_was_said_stays_text(folder: Path) -> None:
    """Whatever part of the run it stands in."""
    for path in folder.iterdir():
        page = path.read_text("utf-8")
        assert "<img" not in page
        assert "alert(1)</script>" not in page
        assert (
            "http" not in re.sub(r"http-equiv|https?://www\.w3\.org", "", page) or path.name != "index.html"
        )


def test_an_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    """A file that was imported may call its trace anything."""
    with Store(f"sqlite:///{tmp_path}/traces.db") as store:
        store.write_trace(replace(make_trace(), id="../../out & in"))
        export_html(store, tmp_path / "a" / "pages")
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".db"} == {"a"}
    pages = {path.name for path in (tmp_path / "a" / "pages").iterdir()}
    (link,) = re.findall('href="(.*?)"', (tmp_path / "a" / "pages" / "index.html").read_text("utf-8"))
    assert pages == {"index.html", unquote(html.unescape(link))}


def test_a_page_shows_the_run(folder: Path) -> None:
    """Each message once, the sources, and the heat map's script under a policy that allows only it."""
    pages = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    index = pages.pop("index.html")
    assert re.findall(r'href="([^"]*)"', index) == sorted(pages, reverse=True)
    attributed = next(page for page in pages.values() if "heatmap" in page)
    text = html.unescape(attributed)
    assert text.count("You count.") == 1
    assert text.count("<pre>Sure?</pre>") == 1
    assert "← system" in text or "← user" in text
    assert "script-src 'sha256-" in attributed
    bare = next(page for page in pages.values() if page is not attributed)
    assert "<script" not in bare
    assert "script-src 'none'" in bare
