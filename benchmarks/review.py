"""Measure a prompt review: reading the store, the report, the page.

    python benchmarks/review.py [--steps 500] [--tokens 4000] [--write]

The store is made up: a prompt of 80 lines that every step shares, then a tool's result of its own up to the
wanted length, and three attributed targets a step (the tool's name, an argument, the answer), as the
demo's steps have. Times are of one run in a fresh process; the model is not run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.review.describe import describe
from flashtrace_agent.review.render_html import render_html
from flashtrace_agent.review.report import build_report
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

START = datetime(2025, 1, 1, tzinfo=UTC)
WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ako", "emi", "ila", "onu", "ura", "yse")]
STEPS_PER_TRACE = 5


def steps(count: int, length: int) -> Iterator[tuple[Trace, Step, list[Attribution]]]:
    """Yield made-up steps of `length` tokens, five a trace."""
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(WORDS, 18)) + "." for _ in range(80)]
    tools = [ToolSchema(f"tool_{n}", " ".join(random.choice(WORDS, 20)), {}) for n in range(10)]
    system = "\n".join(lines)
    instruction = _tokens(system)
    schemas = [_tokens(f'{{"name": "{tool.name}", "description": "{tool.description}"}}') for tool in tools]
    for number in range(count):
        moment = START + timedelta(seconds=number)
        begun = START + timedelta(seconds=number - number % STEPS_PER_TRACE)
        trace = Trace(make_id(begun, "trace"), "benchmark", begun, begun, "ok")
        completion = _tokens(" ".join(random.choice(WORDS, 60)))
        used = len(instruction) + sum(map(len, schemas)) + len(completion) + 12
        result = " ".join(random.choice(WORDS, max(length - used, 10)))
        tokens: list[str] = []
        segments: list[Segment] = []
        for name, pieces, message in (
            ("template", ["<|system|>"], None),
            ("system", instruction, 0),
            *((f"tool_schema:{tool.name}", part, None) for tool, part in zip(tools, schemas, strict=True)),
            ("template", ["<|user|>"], None),
            ("user", _tokens(" ".join(random.choice(WORDS, 8))), 1),
            ("tool_result:1", _tokens(result), 2),
            ("template", ["<|assistant|>"], None),
            ("reasoning", completion[:40], -1),
            ("answer", completion[40:], -1),
        ):
            segments.append(Segment(name, Span(len(tokens), len(tokens) + len(pieces)), message))
            tokens += pieces
        prompt = len(tokens) - len(completion)
        ids = random.integers(0, 100_000, len(tokens))
        ids[: len(instruction)] = np.arange(len(instruction))
        question = "".join(tokens[segments[-5].span.start : segments[-5].span.end])
        step = Step(
            make_id(moment, str(number)),
            trace.id,
            "model",
            "benchmark",
            moment,
            moment,
            status="ok",
            input=[Message("system", system), Message("user", question), Message("tool", result)],
            output=Message("assistant", "", tool_calls=(ToolCall("1", "tool_1", {"item": "ako"}),)),
            tools=tools,
            model="benchmark",
            prompt_ids=ids[:prompt].tolist(),
            completion_ids=ids[prompt:].tolist(),
            fidelity=Fidelity.EXACT,
        )
        found = []
        for place, name in enumerate(("tool_name", "argument:item", "answer")):
            scores = random.gamma(0.3, 1.0, len(tokens)).astype(np.float32)
            scores[prompt:] = 0
            target = (Span(prompt + 42 + place, prompt + 44 + place),)
            hops = (Hop(scores, 0.5), Hop(scores, 0.1))
            found.append(
                Attribution(
                    input_ids=ids.astype(np.int32),
                    tokens=tuple(tokens),
                    target=target,
                    through=(),
                    scores=scores / scores.sum(),
                    hops=hops,
                    method="flashtrace",
                    model="benchmark",
                    target_name=name,
                    segments=tuple(segments),
                    settings={"hops": 1},
                )
            )
        yield trace, step, found


def _tokens(text: str) -> list[str]:
    words = text.replace("\n", " \n").split(" ")
    return [word if index == 0 or word.startswith("\n") else f" {word}" for index, word in enumerate(words)]


def measure(count: int, length: int) -> list[tuple[str, str]]:
    """Return rows of what was measured and its value."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/review.db"
        total = 0
        with Store(url) as store:
            for trace, step, attributions in steps(count, length):
                store.write_trace(trace)
                store.write_step(step)
                total += len(step.token_ids or ())
                for attribution in attributions:
                    store.write_attribution(step.id, attribution)
        with Store(url, create=False) as store:
            started = time.perf_counter()
            read = list(store.attributed_steps(last=count))
            after_reading = time.perf_counter()
            report = build_report(read)
            after_report = time.perf_counter()
            page = render_html(describe(report))
            ended = time.perf_counter()
    return [
        ("steps", f"{count}, {total / count:,.0f} tokens each"),
        ("lines judged", f"{sum(not row.is_segment for row in report.groups[0].ledger):,}"),
        ("reading the store", f"{after_reading - started:.1f} s"),
        ("the report", f"{after_report - after_reading:.1f} s"),
        ("the page", f"{ended - after_report:.1f} s, {len(page) / 1e6:.1f} MB"),
        ("together", f"{ended - started:.1f} s (goal: under 10 s for 500 steps of 4,000 tokens)"),
    ]


def main() -> None:
    """Run the benchmark and print it as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--write", action="store_true", help="write benchmarks/REVIEW.md")
    options = parser.parse_args()
    rows = measure(options.steps, options.tokens)
    table = "\n".join(
        ["| what | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    )
    print(table)
    if options.write:
        head = f"`python benchmarks/review.py --write`, {os.cpu_count()} CPU cores, SQLite"
        text = f"# A prompt review, measured\n\n{head}, attributions in the store, no model run.\n\n{table}\n"
        Path(__file__).with_name("REVIEW.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
