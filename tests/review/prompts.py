"""Steps whose influence is planted, so that a review's verdicts are known beforehand.

Tokens are words. Every token gets an equal, slightly noisy score, times the weight of the line it
stands in; what the review says must follow from the weights alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

START = datetime(2025, 5, 1, tzinfo=UTC)

USEFUL = "Look every price up with the price tool."
IDLE = "These notes were written down in the month of March."
PLAIN = "You are the assistant of a small furniture shop."
SYSTEM = f"{PLAIN}\n{USEFUL}\n{IDLE}"

DESCRIPTION = "Singular name of the item."
PRICE = ToolSchema(
    "price",
    "Look up what one item costs.",
    {"properties": {"item": {"type": "string", "description": DESCRIPTION}}},
)
COUNT = ToolSchema("count", "Count the units of an item in the storehouse.", {"properties": {}})

Weights = dict[str, dict[str, float]]
"""Target to line (or segment) to weight."""

WEIGHTS: Weights = {
    "tool_name": {USEFUL: 12.0, "user": 6.0, IDLE: 0.2, "tool_schema:count": 0.3},
    "argument:item": {"user": 30.0, IDLE: 0.2, "tool_schema:count": 0.3, DESCRIPTION: 0.2},
    "answer": {"tool_result": 20.0, PLAIN: 3.0, IDLE: 0.2, "tool_schema:count": 0.3},
}


@dataclass
class Recorded:
    """A trace's header and its model steps with their attributions."""

    trace: Trace
    steps: list[tuple[Step, list[Attribution]]] = field(default_factory=list)

    def __iter__(self) -> Any:
        for step, attributions in self.steps:
            yield self.trace, step, attributions


def run(number: int, *, weights: Weights = WEIGHTS, system: str = SYSTEM, **changes: Any) -> Recorded:
    """Return a run of two steps: a call of `price`, and an answer.

    Args:
        number: makes ids, time and noise.
        weights: what each target draws on.
        system: the system prompt.
        changes: ``called`` (the tool's name), ``model``, ``fidelity``, ``prompt_version``, ``status``,
            ``hops``.
    """
    begin = START + timedelta(minutes=number)
    trace = Trace(make_id(begin, f"run {number}"), "shop", begin, begin, changes.get("status", "ok"))
    trace.prompt_version = changes.get("prompt_version")
    call = ToolCall("call_0", changes.get("called", "price"), {"item": "lamp"})
    asked = [Message("system", system), Message("user", "What does a lamp cost here?")]
    calling = Message("assistant", "", "They ask for a price.", (call,))
    result = Message("tool", "35 euros per lamp", tool_call_id="call_0")
    recorded = Recorded(trace)
    for position, (messages, output) in enumerate(
        [
            (asked, calling),
            ([*asked, calling, result], Message("assistant", "A lamp costs 35 euros.")),
        ]
    ):
        moment = begin + timedelta(seconds=position)
        recorded.steps.append(
            _step(trace, moment, messages, output, weights, number * 10 + position, changes)
        )
    return recorded


def write(store: Store, recorded: Recorded) -> None:
    """Store a run with its attributions."""
    store.write_trace(recorded.trace)
    for step, attributions in recorded.steps:
        store.write_step(step)
        for attribution in attributions:
            store.write_attribution(step.id, attribution)


def _step(
    trace: Trace,
    moment: datetime,
    messages: list[Message],
    output: Message,
    weights: Weights,
    seed: int,
    changes: dict[str, Any],
) -> tuple[Step, list[Attribution]]:
    tokens: list[str] = []
    segments: list[Segment] = []

    def add(name: str, text: str, message: int | None = None) -> Span:
        start = len(tokens)
        tokens.extend(re.findall(r"\n|[^\S\n]?\S+", text))
        segments.append(Segment(name, Span(start, len(tokens)), message))
        return segments[-1].span

    add("template", "<|system|>")
    add("system", messages[0].content, 0)
    add("template", "# Tools")
    for tool in (PRICE, COUNT):
        add(f"tool_schema:{tool.name}", json.dumps(tool.to_openai()))
    for index, message in enumerate(messages[1:], 1):
        add("template", f"<|{message.role}|>")
        if message.reasoning:
            add("reasoning", message.reasoning, index)
        if message.tool_calls:
            add(f"tool_call:{message.tool_calls[0].name}", "{price lamp}", index)
        if message.content:
            name = f"tool_result:{message.tool_call_id}" if message.role == "tool" else message.role
            add(name, message.content, index)
    add("template", "<|assistant|>")
    prompt = len(tokens)
    targets: dict[str, Span] = {}
    if output.reasoning:
        targets["reasoning"] = add("reasoning", output.reasoning, -1)
    if output.tool_calls:
        targets["tool_name"] = add(f"tool_call:{output.tool_calls[0].name}", output.tool_calls[0].name, -1)
        targets["argument:item"] = add(f"tool_call:{output.tool_calls[0].name}", "lamp", -1)
    else:
        targets["answer"] = add("answer", output.content, -1)
    model = changes.get("model", "tiny")
    fidelity = Fidelity(changes.get("fidelity", "exact"))
    step = Step(
        id=make_id(moment, f"{trace.id} {moment}"),
        trace_id=trace.id,
        kind="model",
        name="tiny",
        started_at=moment,
        ended_at=moment,
        status="ok",
        input=messages,
        output=output,
        tools=[PRICE, COUNT],
        model=model,
        prompt_ids=list(range(prompt)),
        completion_ids=list(range(prompt, len(tokens))),
        fidelity=fidelity,
    )
    random = np.random.default_rng(seed)
    found = []
    for name, span in targets.items():
        scores = np.zeros(len(tokens), np.float32)
        scores[:prompt] = random.uniform(0.8, 1.2, prompt)
        for line, weight in weights.get(name, {}).items():
            scores[:prompt][_where(line, tokens[:prompt], segments)] *= weight
        final = scores / scores.sum()
        direct = scores.copy()
        direct[prompt : span.start] = scores.sum()  # as much on the reasoning as on all of the prompt
        found.append(
            Attribution(
                input_ids=np.arange(len(tokens), dtype=np.int32),
                tokens=tuple(tokens),
                target=(span,),
                through=(),
                scores=final.astype(np.float32),
                hops=(Hop(direct.astype(np.float32), 0.5),),
                method="flashtrace",
                model=model,
                target_name=name,
                fidelity=str(fidelity),
                segments=tuple(segments),
                settings={"hops": changes.get("hops", 1)},
            )
        )
    return step, found


def _where(line: str, tokens: list[str], segments: list[Segment]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark the tokens of a segment, or of the place where a line's words stand."""
    marked = np.zeros(len(tokens), dtype=bool)
    for segment in segments:
        if segment.message != -1 and line in (segment.name, segment.name.partition(":")[0]):
            marked[segment.span.start : segment.span.end] = True
    words = line.split()
    plain = [token.strip(' \n"{},') for token in tokens]
    for start in range(len(tokens) - len(words) + 1):
        if plain[start : start + len(words)] == words:
            marked[start : start + len(words)] = True
    return marked
