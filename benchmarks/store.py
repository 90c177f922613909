"""Measure the store: writing, listing, filters, searching, size.

    python benchmarks/store.py [--steps 20000] [--write]

Prints counts and ratios; ``--write`` puts them into ``benchmarks/STORE.md``. The steps are made
up: 50 agents, ten model steps a run, each re-sending its history of messages and token ids; 100
new ids a step. Times are the best of five on an idle machine; on a busy one only ratios mean much.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

import flashtrace_agent
from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

AGENTS, ROUNDS, BATCH = 50, 10, 200
START = datetime(2025, 1, 1, tzinfo=UTC)
WORDS = [
    f"{first}{second}" for first in "bdfgklmnprst" for second in ("ako", "emi", "ila", "onu", "ura", "yse")
]


def runs(steps: int) -> Iterator[tuple[Trace, list[Step]]]:
    """Yield made-up runs of `ROUNDS` model steps each, `steps` in all."""
    generator = np.random.default_rng(0)
    prompts = [generator.integers(0, 150_000, 400).tolist() for _ in range(AGENTS)]
    for number in range(steps // ROUNDS):
        agent = number % AGENTS
        started = START + timedelta(seconds=number)
        status = "error" if number % 97 == 0 else "ok"
        ended = started + timedelta(seconds=9)
        trace = Trace(make_id(started, str(number)), f"agent {agent}", started, ended, status)
        trace.session, trace.tags = f"session {number // 20}", [f"tag{number % 7}"]
        tools = [ToolSchema(f"tool_{agent}", f"What agent {agent} can do.")]
        question = " ".join(generator.choice(WORDS, 12))
        messages = [Message("system", f"You are agent {agent}. " * 20), Message("user", question)]
        ids = list(prompts[agent])
        recorded: list[Step] = []
        for turn in range(ROUNDS):
            moment = started + timedelta(milliseconds=10 * turn)
            new = generator.integers(0, 150_000, 100).tolist()
            call = ToolCall("call_0", f"tool_{agent}", {"turn": turn})
            said = " ".join(generator.choice(WORDS, 20))
            output = Message("assistant", "", reasoning=f"{said} {number}", tool_calls=(call,))
            recorded.append(
                Step(
                    make_id(moment, f"{number} {turn}"), trace.id, "model", f"model {agent % 3}", moment,
                    moment + timedelta(milliseconds=9), status="ok", input=list(messages), output=output,
                    tools=tools, model=f"model {agent % 3}", prompt_ids=list(ids), completion_ids=new[:60],
                    fidelity=Fidelity.EXACT, finish_reason="tool_calls",
                )
            )  # fmt: skip
            ids += new
            messages += [output, Message("tool", f"result {number} {turn}", tool_call_id="call_0")]
        yield trace, recorded


def make_attribution(step: Step) -> Attribution:
    """Return an attribution of a step with made-up scores."""
    ids = np.asarray(step.token_ids, np.int32)
    scores = np.random.default_rng(len(ids)).exponential(size=len(ids)).astype(np.float32) ** 4
    scores /= scores.sum()
    cut = len(ids) // 2
    return Attribution(
        ids, tuple(f"t{token % 999}" for token in ids), (Span(len(ids) - 2, len(ids)),), (), scores,
        (Hop(scores, 1.0), Hop(scores[::-1].copy(), 0.3)), "flashtrace", "model", "answer", "exact",
        (Segment("system", Span(0, cut)), Segment("user", Span(cut, len(ids)))), {"hops": 1},
    )  # fmt: skip


def best_of(count: int, action: Callable[[], object]) -> float:
    """Return the shortest of `count` runs, in milliseconds."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def file_size(path: Path) -> int:
    """Return the bytes of a store whose log is written back."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def measure(folder: Path, steps: int) -> list[tuple[str, str]]:
    """Return (what, how much)."""
    found: list[tuple[str, str]] = []
    made = list(runs(min(steps, 1000)))
    with Store(f"sqlite:///{folder}/one.db") as store:
        each = [step for _, recorded in made for step in recorded][:500]
        started = time.perf_counter()
        for step in each:
            store.write_step(step)
        found.append(("steps/s written one by one", f"{len(each) / (time.perf_counter() - started):,.0f}"))
    path = folder / "traces.db"
    with Store(f"sqlite:///{path}") as store:
        spent = busy = 0.0
        pending: list[Step] = []
        ids = 0
        rare = ""
        for number, (trace, recorded) in enumerate(runs(steps)):
            pending += recorded
            ids += sum(len(step.token_ids or ()) for step in recorded)
            store.write_trace(trace)
            started, begun = time.perf_counter(), time.process_time()
            if len(pending) >= BATCH:
                store.write_steps(pending)
                pending = []
            spent += time.perf_counter() - started
            busy += time.process_time() - begun
            if number == 3:
                rare = recorded[0].output.reasoning.split()[-1] if recorded[0].output else ""
                told = recorded
        store.write_steps(pending)
        found.append((f"steps/s written {BATCH} at a time", f"{steps / spent:,.0f}"))
        found.append(("the same per second of processor time", f"{steps / busy:,.0f}"))
        size = file_size(path)
        found.append(("token ids in prompts and completions", f"{ids:,}"))
        found.append(("bytes per token id, everything included", f"{size / ids:.2f}"))
        filters = [
            None, "tool = nothing", "tool = tool_7", "model = 'model 1'", "model ~ 'L 1'", "status = error",
            "session = 'session 3'", "tag = tag3", "tokens > 99999999", "tokens > 1", "latency > 1h",
            "fidelity = exact", "since 9999d", "name = 'agent 7' and since 9999d", "error ~ 'nothing'",
            "tool = tool_7 and not model = 'model 1' and tokens > 1", f"text ~ 'result {rare}'",
            "text ~ 'bako bemi'", "text ~ 'agent'", "text ~ 'result'", "segment system share > 0.5",
        ]  # fmt: skip
        for where in filters:
            shown = f"ms to list the newest 50{f' where `{where}`' if where else ''}"
            found.append((shown, f"{best_of(5, lambda w=where: store.list_traces(where=w)):.1f}"))
        attributed = [make_attribution(step) for step in told]
        scores = sum(a.n_tokens * (1 + len(a.hops)) for a in attributed)
        for step, attribution in zip(told, attributed, strict=True):
            store.write_attribution(step.id, attribution)
        with sqlite3.connect(path) as connection:
            query = (
                "SELECT sum(length(scores) + length(hop_scores) + length(summary) + 400) FROM attributions"
            )
            stored = connection.execute(query).fetchone()[0]
        found.append(("bytes per score, with 400 for each row's keys and indexes", f"{stored / scores:.2f}"))
    return found


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--write", action="store_true", help="write benchmarks/STORE.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.steps)
    lines = [f"| {what} | {number} |" for what, number in rows]
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    text = "\n".join(
        [
            "# The store, measured",
            f"`python benchmarks/store.py --steps {arguments.steps}` with flashtrace-agent "
            f"{flashtrace_agent.__version__}, SQLite {sqlite3.sqlite_version}, {load}: "
            f"{arguments.steps:,} steps of {AGENTS} agents.",
            "",
            "| what | measured |",
            "| --- | ---: |",
            *lines,
            "",
        ]
    )
    print(text)
    if arguments.write:
        (Path(__file__).parent / "STORE.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
