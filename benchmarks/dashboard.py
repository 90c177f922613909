"""Measure how long pages take to open, in a real headless Chromium.

    python benchmarks/dashboard.py [--traces 20000] [--tokens 32000] [--runs 5] [--write]

Builds a store of made-up traces by bulk inserts (``--traces 1000000`` is what the project promises
1.5 s for) and a step of ``--tokens`` tokens with eight explained targets (3 s for 32,000), serves
it, and times from asking for the page's address in a fresh tab until its content stands there:
the table's rows, or the strongest token in its colour. The median of ``--runs`` is printed after
one run that warms up the server and the browser's cache, as for somebody who works with it.
Then 100,000 tokens are scrolled through, unfolded, from one end to the other by the wheel's events, and the
times between the frames that the browser drew are taken;
``--write`` puts the numbers into ``benchmarks/DASHBOARD.md``.
Only times on an idle machine mean much.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from shutil import which

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import create_engine, insert

import flashtrace_agent
from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.html import render_html
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.store.schema import FacetRow, StepRow, TagRow, TraceRow
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

START = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 20_000
TARGETS = 8
LONG_TOKENS = 100_000
PORT = 8599
WORDS = [" the", " lamp", " of", " stock", ".\n", ' {"item":', " is", " x"]


def fill(path: Path, traces: int) -> None:
    """Write `traces` headers with a tag, a tool and a step each, without going through `Store`."""
    Store(f"sqlite:///{path}").close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for begin in range(0, traces, BATCH):
            rows = [row(number) for number in range(begin, min(begin + BATCH, traces))]
            connection.execute(insert(TraceRow), rows)
            connection.execute(
                insert(TagRow),
                [
                    {"trace_id": each["id"], "position": 0, "tag": f"tag{n % 7}"}
                    for n, each in enumerate(rows)
                ],
            )
            facets = [
                {
                    "trace_id": each["id"],
                    "field": "tool",
                    "value": f"tool_{n % 50}",
                    "first_at": each["started_at"],
                }
                for n, each in enumerate(rows)
            ]
            connection.execute(insert(FacetRow), facets)
            steps = [
                {
                    "id": make_id(each["started_at"], f"step {each['id']}"),
                    "trace_id": each["id"],
                    "kind": "tool",
                    "name": f"tool_{n % 50}",
                    "started_at": each["started_at"],
                    "ended_at": each["ended_at"],
                    "status": each["status"],
                    "fidelity_reason": "",
                }
                for n, each in enumerate(rows)
            ]
            connection.execute(insert(StepRow), steps)
    engine.dispose()


def row(number: int) -> dict[str, object]:
    """Return the header of a made-up trace."""
    started = START + timedelta(seconds=number)
    return {
        "id": make_id(started, str(number)),
        "name": f"agent {number % 50}",
        "started_at": started,
        "ended_at": started + timedelta(seconds=9),
        "status": "error" if number % 97 == 0 else "ok",
        "session": f"session {number // 20}",
        "steps": 1,
        "tokens": number % 9000,
        "fidelity": "exact",
    }


def write_long_step(path: Path, n_tokens: int) -> tuple[str, str]:
    """Store a step of `n_tokens` tokens with `TARGETS` attributions; return trace id and target."""
    random = np.random.default_rng(0)
    begin = START + timedelta(days=900)
    trace = Trace(make_id(begin, "long"), "long prompt", begin, begin + timedelta(seconds=60), "ok")
    ids = random.integers(0, 8, n_tokens)
    tokens = tuple(WORDS[index] for index in ids)
    written = n_tokens - 200
    step = Step(
        make_id(begin, "long step"), trace.id, "model", "model", begin, trace.ended_at, status="ok",
        model="model",
        prompt_ids=ids[:written].tolist(), completion_ids=ids[written:].tolist(),
        fidelity=Fidelity.EXACT,
    )  # fmt: skip
    cuts = [*range(0, written, 800), written]
    segments = tuple(
        Segment(f"tool_result:{number}", Span(first, last), number)
        for number, (first, last) in enumerate(pairwise(cuts))
    )
    segments += (Segment("answer", Span(written, n_tokens), -1),)
    with Store(f"sqlite:///{path}") as store:
        store.write_trace(trace)
        store.write_step(step)
        for number in range(TARGETS):
            scores = random.gamma(0.05, 1.0, n_tokens).astype(np.float32) ** 2
            scores[written:] = 0
            scores /= scores.sum()
            target = Span(written + 10 * number, written + 10 * number + 5)
            found = Attribution(
                ids.astype(np.int32), tokens, (target,), (), scores, (Hop(scores, 0.5), Hop(scores, 0.1)),
                "flashtrace", "model", str(target), "exact", segments, {"hops": 1},
            )  # fmt: skip
            store.write_attribution(step.id, found)
    return trace.id, str(target)


def open_list(page: Page, address: str) -> None:
    """Open the list and wait for its rows."""
    page.goto(address)
    page.locator("[data-testid=stDataFrame] [role=grid][aria-rowcount='51']").wait_for(state="attached")


def open_why(page: Page, address: str, trace_id: str, target: str) -> None:
    """Open the heat map and wait for the strongest token in its colour."""
    page.goto(f"{address}/why?trace={trace_id}&target={target}")
    page.locator(".ft-body .ft-t[style*='--heat: 1.000']").first.wait_for()


# A notch of the wheel at each frame, through the whole text at the pace of somebody who skims it.
SCROLL = """async (pane) => {
  const times = [];
  const notches = 600;
  const step = (pane.scrollHeight - pane.clientHeight) / notches;
  for (let notch = 0; notch <= notches; notch++) {
    pane.scrollTop = notch * step;
    times.push(await new Promise(requestAnimationFrame));
  }
  return times;
}"""


def scroll(browser: Browser, page_file: Path) -> tuple[float, float, float]:
    """Return frames per second, the 99th percentile and the longest of the times between frames in ms."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(120_000)
    page.goto(page_file.as_uri())
    page.get_by_label("Fold cold lines").uncheck()
    pane = page.locator(".ft-text")
    frames: list[float] = []
    for _ in range(2):  # the first pass warms up the script
        frames = [float(time) for time in pane.evaluate(SCROLL)]
    page.close()
    between = np.diff(frames)
    return 1000 / float(between.mean()), float(np.quantile(between, 0.99)), float(between.max())


def write_long_page(path: Path) -> None:
    """Write the standalone page of a step of `LONG_TOKENS` tokens: the viewer that the dashboard has."""
    random = np.random.default_rng(1)
    tokens = tuple(WORDS[index] for index in random.integers(0, len(WORDS), LONG_TOKENS))
    scores = random.gamma(0.05, 1.0, LONG_TOKENS).astype(np.float32)
    scores[-100:] = 0
    written = LONG_TOKENS - 100
    cuts = [*range(0, written, 2000), written]
    segments = [Segment(f"tool_result:{n}", Span(a, b), n) for n, (a, b) in enumerate(pairwise(cuts))]
    attribution = Attribution(
        np.zeros(LONG_TOKENS, np.int32), tokens, (Span(written + 5, written + 9),), (), scores / scores.sum(),
        (Hop(scores, 0.0),), "flashtrace", "model", "answer", "exact",
        (*segments, Segment("answer", Span(written, LONG_TOKENS), -1)), {"hops": 0},
    )  # fmt: skip
    path.write_text(render_html([attribution]), encoding="utf-8")


def median_seconds(browser: Browser, runs: int, action: Callable[[Page], None]) -> float:
    """Return the median time of `runs` fresh tabs, after one that warms up."""
    times = []
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    for _ in range(runs + 1):
        page = context.new_page()
        page.set_default_timeout(120_000)
        started = time.perf_counter()
        action(page)
        times.append(time.perf_counter() - started)
        page.close()
    context.close()
    return statistics.median(times[1:])


def measure(traces: int, n_tokens: int, runs: int) -> list[tuple[str, str]]:
    """Return (what, how much)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        print(f"writing {traces:,} traces …", file=sys.stderr)
        fill(path, traces)
        trace_id, target = write_long_step(path, n_tokens)
        command = [
            *(sys.executable, "-m", "flashtrace_agent", "dashboard", "--no-browser"),
            *("--store", f"sqlite:///{path}", "--port", str(PORT)),
        ]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            address = server.stdout.readline().split()[2]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
                listing = median_seconds(browser, runs, lambda page: open_list(page, address))
                why = median_seconds(browser, runs, lambda page: open_why(page, address, trace_id, target))
                write_long_page(page_file := path.with_name("long.html"))
                rate, late, longest = scroll(browser, page_file)
                browser.close()
        finally:
            server.terminate()
            server.wait()
    return [
        (f"list of {traces + 1:,} traces opens (limit 1.5 s at 1,000,000)", f"{listing:.2f} s"),
        (f"heat map of a step of {n_tokens:,} tokens, {TARGETS} targets, opens (limit 3 s)", f"{why:.2f} s"),
        (f"frames a second while {LONG_TOKENS:,} tokens scroll past (60 at most)", f"{rate:.0f}"),
        ("time between two of them: 99 % below, and the longest", f"{late:.0f} ms, {longest:.0f} ms"),
    ]


def main() -> None:
    """Run as the module's text says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=32_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    found = measure(given.traces, given.tokens, given.runs)
    lines = [f"| {what} | {number} |" for what, number in found]
    print("\n".join(lines))
    if given.write:
        head = (
            "# Dashboard\n\n`python benchmarks/dashboard.py "
            f"--traces {given.traces} --tokens {given.tokens} --runs {given.runs} --write`, "
            f"flashtrace-agent {flashtrace_agent.__version__}, {os.cpu_count()} cores, headless Chromium. "
            "Median times from asking for the address in a fresh tab until the content stands there; "
            "the frames of one pass from end to end.\n\n"
            "| | |\n| --- | --- |\n"
        )
        Path(__file__).with_name("DASHBOARD.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
