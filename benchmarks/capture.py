"""Measure the capture of runs: the handler's cost, the receiver's speed, memory and bytes on disk.

    python benchmarks/capture.py PART [--size N] [--write]

Parts: ``handler`` (time on the agent's thread), ``agents`` (100 at once, no lost step), ``memory``
(10,000 runs), ``receiver`` (spans per second), ``kill`` (nothing lost that was acknowledged),
``replay`` (a long replay in flat memory; a million spans by ``--size 1000000``), ``growth`` (bytes
stored of a 100-step agent), or ``all``. ``--write`` puts a part's table into ``benchmarks/CAPTURE.md``.
Times mean something on an idle machine only; counts and ratios always do.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import re
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.tools import tool
from span_load import Collector, send, text

import flashtrace_agent
from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.store import Store

Rows = list[tuple[str, str]]

# The handler


def measure_handler(folder: Path, size: int) -> Rows:
    """Time each callback with a history of 64k tokens in 100 messages, an agent's pause between."""
    history: list[BaseMessage] = [SystemMessage(text(4000))]
    for k in range(33):
        call = {"name": "look", "args": {"k": k}, "id": f"c{k}", "type": "tool_call"}
        history += [
            HumanMessage(text(600, k)),
            AIMessage(text(300, k), tool_calls=[call]),
            ToolMessage(text(900, k), tool_call_id=f"c{k}"),
        ]
    schema = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    ids = list(range(64_000))
    handler = FlashTraceCallbackHandler(f"sqlite:///{folder}/handler.db")
    seconds: dict[str, list[float]] = {}

    def timed(what: str, callback: Callable[..., object], *arguments: Any, **named: Any) -> None:
        begin = time.perf_counter()
        callback(*arguments, **named)
        seconds.setdefault(what, []).append(time.perf_counter() - begin)
        time.sleep(0.002)  # a model takes longer still

    for k in range(size):
        root, model, ran = uuid4(), uuid4(), uuid4()
        said = AIMessage(
            f"Turn {k}",
            response_metadata={"flashtrace": {"prompt_token_ids": ids, "completion_token_ids": [k]}},
        )
        answer = LLMResult(generations=[[ChatGeneration(message=said)]])
        timed("chain start", handler.on_chain_start, {}, {"messages": history}, run_id=root, name="agent")
        timed(
            "model start", handler.on_chat_model_start, {}, [history], run_id=model, parent_run_id=root,
            invocation_params={"tools": [schema]},
        )  # fmt: skip
        timed("model end", handler.on_llm_end, answer, run_id=model)
        timed("tool start", handler.on_tool_start, {"name": "look"}, "x", run_id=ran, parent_run_id=root)
        timed("tool end", handler.on_tool_end, "seven", run_id=ran)
        timed("chain end", handler.on_chain_end, {"messages": history}, run_id=root)
    assert handler.close(120), "not all was written"
    assert (handler.errors, handler.dropped) == (0, 0)
    everything = sorted(itertools.chain.from_iterable(seconds.values()))
    rows = [(f"{name}, median / p99", _pair(sorted(found))) for name, found in seconds.items()]
    return [*rows, (f"all {len(everything):,} callbacks, median / p99", _pair(everything))]


def _pair(found: list[float]) -> str:
    return f"{1000 * statistics.median(found):.3f} / {1000 * found[int(len(found) * 0.99)]:.3f} ms"


class Scripted(BaseChatModel):
    """Calls a tool so many times, then answers."""

    rounds: int
    done: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.done += 1
        call = {"name": "look", "args": {"k": self.done}, "id": f"c{self.done}", "type": "tool_call"}
        message = AIMessage("", tool_calls=[call]) if self.done <= self.rounds else AIMessage("Done.")
        return ChatResult(generations=[ChatGeneration(message=message)])


@tool
def look(k: int) -> str:
    """Look somewhere."""
    return f"Seen {k}."


def measure_agents(folder: Path, size: int) -> Rows:
    """Run agents of 25 rounds at once, each on its own thread, and count their steps in the store."""
    url = f"sqlite:///{folder}/agents.db"
    handler = FlashTraceCallbackHandler(url)

    def one() -> None:
        agent = create_agent(Scripted(rounds=25), [look])
        config: Any = {"callbacks": [handler], "recursion_limit": 200}
        agent.invoke({"messages": [("user", "Look around.")]}, config=config)

    threads = [threading.Thread(target=one) for _ in range(size)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ran = time.perf_counter() - begin
    assert handler.close(600)
    written = time.perf_counter() - begin
    steps: Counter[str] = Counter()
    with Store(url) as store:
        summaries = store.list_traces(limit=10 * size)
        for summary in summaries:
            found = store.get_trace(summary.id)
            steps.update(step.kind for step in found.steps)
            known = {step.id for step in found.steps}
            steps["without parent"] += sum(s.kind == "tool" and s.parent_id not in known for s in found.steps)
    lost = size * 51 - steps["model"] - steps["tool"]
    return [
        ("agents at once, steps each", f"{size}, 51"),
        ("traces stored", f"{len(summaries)}"),
        ("steps lost", f"{lost}"),
        ("tool steps without their model step", f"{steps['without parent']}"),
        ("errors, dropped", f"{handler.errors}, {handler.dropped}"),
        ("agents ran, all written after", f"{ran:.1f} s, {written:.1f} s"),
    ]


def measure_memory(folder: Path, size: int) -> Rows:
    """Record runs of two steps, one after another, and watch the process's memory.

    SQLite fills a page cache of 32 MB with what it writes, the store remembers 50,000 digests: until
    both are full, resident memory grows. Objects that Python holds must not.
    """
    handler = FlashTraceCallbackHandler(f"sqlite:///{folder}/memory.db")
    answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("Seven."))]])
    rows: Rows = []
    for number in range(1, size + 1):
        root, model, ran = uuid4(), uuid4(), uuid4()
        handler.on_chain_start({}, {}, run_id=root, name="agent")
        messages = [[HumanMessage(f"{number} {text(500, number)}")]]
        handler.on_chat_model_start({}, messages, run_id=model, parent_run_id=root)
        handler.on_llm_end(answer, run_id=model)
        handler.on_tool_start({"name": "look"}, "x", run_id=ran, parent_run_id=root)
        handler.on_tool_end(f"seen {number}", run_id=ran)
        handler.on_chain_end({}, run_id=root)
        if number % 100 == 0:
            handler.flush()
        if number % (size // 10) == 0:
            gc.collect()
            much = f"{_resident(os.getpid()):.0f} MB, {len(gc.get_objects()):,} objects"
            rows.append((f"resident memory after {number:,} runs", much))
    assert handler.close()
    assert (handler.errors, handler.dropped) == (0, 0)
    return rows


# The receiver


def stored(url: str) -> tuple[int, int]:
    """Return how many traces and steps a store has."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        traces = database.execute("SELECT count(*) FROM traces").fetchone()[0]
        return traces, database.execute("SELECT count(*) FROM steps").fetchone()[0]


def measure_receiver(folder: Path, size: int) -> Rows:
    """Send spans as fast as they are taken."""
    url = f"sqlite:///{folder}/receiver.db"
    collector = Collector(url)
    before = _processor_seconds(collector.process.pid)
    sent, seconds = send(collector, size)
    processor = _processor_seconds(collector.process.pid) - before
    collector.stop()
    traces, steps = stored(url)
    return [
        ("spans sent and acknowledged", f"{sent:,}"),
        ("spans/s, from the first request to the last answer", f"{sent / seconds:,.0f}"),
        ("the collector's own processor time", f"{1e6 * processor / sent:,.0f} µs a span"),
        ("traces, steps stored (expected)", f"{traces:,}, {steps:,} ({sent // 6:,}, {5 * sent // 6:,})"),
    ]


def measure_kill(folder: Path, size: int) -> Rows:
    """Kill the collector in the middle of the load, start it again, and count what is there."""
    url = f"sqlite:///{folder}/kill.db"
    collector = Collector(url)

    def watch(done: int) -> None:
        if done >= size // 2:
            collector.process.kill()

    sent, _ = send(collector, size, watch)
    collector.process.wait(30)
    again = Collector(url)
    again.stop()
    traces, steps = stored(url)
    return [
        ("spans acknowledged before kill -9", f"{sent:,}"),
        ("their traces, steps", f"{sent // 6:,}, {5 * sent // 6:,}"),
        ("in the store after a restart", f"{traces:,}, {steps:,}"),
        ("acknowledged and lost", f"{max(0, sent // 6 - traces)}"),
    ]


def measure_replay(folder: Path, size: int) -> Rows:
    """Replay many spans and watch the collector's memory."""
    url = f"sqlite:///{folder}/replay.db"
    collector = Collector(url)
    marks = iter(range(size // 5, size + 1, size // 5))
    rows: Rows = []
    due = [next(marks)]

    def watch(done: int) -> None:
        if due[0] is not None and done >= due[0]:
            rows.append(
                (f"resident memory after {done:,} spans", f"{_resident(collector.process.pid):.0f} MB")
            )
            due[0] = next(marks, None)

    sent, seconds = send(collector, size, watch)
    collector.stop()
    traces, _ = stored(url)
    return [
        *rows,
        ("spans/s", f"{sent / seconds:,.0f}"),
        ("traces stored (expected)", f"{traces:,} ({sent // 6:,})"),
    ]


def measure_growth(folder: Path, size: int) -> Rows:
    """Store an agent of so many steps that re-sends its history, and look at the file as it grows."""
    path = folder / "growth.db"
    rows: Rows = []
    ids = list(range(1000))
    history: list[BaseMessage] = [SystemMessage(text(500)), HumanMessage("Count everything.")]
    root = uuid4()
    handler = FlashTraceCallbackHandler(f"sqlite:///{path}")
    handler.on_chain_start({}, {}, run_id=root, name="agent")
    handler.flush()
    start = before = _file_size(path)
    for number in range(1, size + 1):
        call = {"name": "look", "args": {"k": number}, "id": f"c{number}", "type": "tool_call"}
        exact = {"prompt_token_ids": list(ids), "completion_token_ids": [number] * 40}
        said = AIMessage(
            f"{number} {text(30, number)}", tool_calls=[call], response_metadata={"flashtrace": exact}
        )
        model, ran = uuid4(), uuid4()
        handler.on_chat_model_start({}, [history], run_id=model, parent_run_id=root)
        handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=said)]]), run_id=model)
        handler.on_tool_start({"name": "look"}, "", run_id=ran, parent_run_id=root, tool_call_id=f"c{number}")
        result = ToolMessage(f"{number} {text(150, number)}", tool_call_id=f"c{number}")
        handler.on_tool_end(result, run_id=ran)
        history = [*history, said, result]
        ids += [(number * 7919 + k) % 150_000 for k in range(200)]
        if number % (size // 10) == 0:
            handler.flush()
            now = _file_size(path)
            each = (now - before) / (size // 10) / 1000
            much = f"{(now - start) / 1000:,.0f} kB stored, {each:,.1f} kB a step"
            rows.append((f"step {number}: prompt of {len(ids) - 200:,} tokens", much))
            before = now
    handler.on_chain_end({}, run_id=root)
    handler.close()
    return rows


def _file_size(path: Path) -> int:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def _resident(pid: int) -> float:
    """Return a process's resident memory in MB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1000


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


PARTS: dict[str, tuple[str, Callable[[Path, int], Rows], int]] = {
    "handler": ("Handler: time on the agent's thread, histories of 64k tokens", measure_handler, 500),
    "agents": ("Handler: parallel agents", measure_agents, 100),
    "memory": ("Handler: memory", measure_memory, 10_000),
    "receiver": ("Receiver: sustained speed on SQLite", measure_receiver, 100_000),
    "kill": ("Receiver: killed in the middle of the load", measure_kill, 30_000),
    "replay": ("Receiver: memory over a replay", measure_replay, 200_000),
    "growth": ("Store: an agent that re-sends its history", measure_growth, 100),
}


def write(path: Path, title: str, rows: Rows) -> None:
    """Put a part's table into the results, in place of an earlier one."""
    head = "# Capture\n\nWritten by `python benchmarks/capture.py all --write`.\n"
    old = path.read_text() if path.exists() else head
    sections = dict(re.findall(r"^## (.+)\n\n((?:.+\n)+)", old, re.MULTILINE))
    table = "| | |\n| --- | --- |\n" + "".join(f"| {what} | {much} |\n" for what, much in rows)
    sections[title] = table
    ordered = [name for name, _, _ in PARTS.values() if name in sections]
    path.write_text(head + "".join(f"\n## {name}\n\n{sections[name]}" for name in ordered))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument(
        "--size", type=int, help="calls, agents, runs, spans or steps; by default as described"
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/CAPTURE.md")
    options = parser.parse_args()
    version = f"flashtrace-agent {flashtrace_agent.__version__}, Python {sys.version.split()[0]}"
    print(f"{version}, {os.cpu_count()} cores")
    for name in PARTS if options.part == "all" else [options.part]:
        title, measure, size = PARTS[name]
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(Path(folder), options.size or size)
        print(f"\n{title}")
        for what, much in rows:
            print(f"  {what}: {much}")
        if options.write:
            write(Path(__file__).with_name("CAPTURE.md"), title, rows)


if __name__ == "__main__":
    main()
