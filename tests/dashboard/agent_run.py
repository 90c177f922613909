"""A made-up but realistic agent run with attributions, to fill a store or a page with.

A furniture-shop assistant with two tools and two worked examples answers one question: it
calls `lookup` with two arguments, reads the result, and answers. Scores are random with a
fixed seed, raised where a reader would expect the cause.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id
from flashtrace_agent.trajectory import Edge, Node, NodeKind, Trajectory

START = datetime(2025, 3, 4, 9, 15, tzinfo=UTC)
MODEL = "smollm2-135m-instruct"

SYSTEM = """You are the assistant of a furniture warehouse. Think briefly inside <think> tags, then either \
call one tool or answer.
Rules:
- Use `lookup` for anything about stock or prices. Never guess a number.
- `field` is "stock" for how many are left and "price" for what one costs.
- Use `reserve` only when the customer asks to put something aside.
- Answer in one short sentence with the unit."""

TOOLS = [
    ToolSchema(
        "lookup",
        "Look up one field of one item in the warehouse.",
        {
            "type": "object",
            "properties": {
                "item": {"type": "string", "description": "Singular name of the item, such as chair."},
                "field": {"type": "string", "enum": ["stock", "price"]},
            },
            "required": ["item", "field"],
        },
    ),
    ToolSchema(
        "reserve",
        "Put items aside for a customer.",
        {
            "type": "object",
            "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["item", "count"],
        },
    ),
]

_PIECE = re.compile(r"<\|[^|]*\|>|\n| ?\w+| ?[^\w\s]|\s")


@dataclass
class Run:
    """A trace and, per model step id, its attributions."""

    trace: Trace
    attributions: dict[str, list[Attribution]]


def call_text(name: str, arguments: dict[str, object]) -> str:
    """Return a tool call the way Hermes-style models write it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def examples() -> list[Message]:
    """Return the two worked examples of the history."""
    first = ToolCall("ex_1", "lookup", {"item": "chair", "field": "stock"})
    second = ToolCall("ex_2", "lookup", {"item": "desk", "field": "price"})
    return [
        Message("user", "How many chairs do you have?", example=True),
        Message("assistant", "", "They ask about stock, so I look it up.", (first,), example=True),
        Message("tool", '{"item": "chair", "stock": 14}', tool_call_id="ex_1", example=True),
        Message("assistant", "There are 14 chairs in stock.", example=True),
        Message("user", "What does a desk cost?", example=True),
        Message("assistant", "", "They ask for a price.", (second,), example=True),
        Message("tool", '{"item": "desk", "price": 120}', tool_call_id="ex_2", example=True),
        Message("assistant", "A desk costs 120 euros.", example=True),
    ]


class Writer:
    """Lays out a step's text as tokens and remembers which segment each piece belongs to."""

    def __init__(self) -> None:
        """Start empty."""
        self.tokens: list[str] = []
        self.segments: list[Segment] = []
        self.heat: list[tuple[Span, dict[str, float]]] = []

    def add(self, name: str, text: str, message: int | None = None, **heat: float) -> Span:
        """Append `text` as a segment; `heat` gives its weight per target."""
        start = len(self.tokens)
        self.tokens.extend(_PIECE.findall(text))
        span = Span(start, len(self.tokens))
        if self.segments and self.segments[-1].name == name and self.segments[-1].message == message:
            self.segments[-1] = Segment(name, Span(self.segments[-1].span.start, span.end), message)
        else:
            self.segments.append(Segment(name, span, message))
        self.heat.append((span, heat))
        return span

    def turn(self, role: str, name: str, text: str, message: int, **heat: float) -> None:
        """Append a whole chat turn with its template tokens."""
        self.add("template", f"<|im_start|>{role}\n")
        self.add(name, text, message, **heat)
        self.add("template", "<|im_end|>\n")


def write_prompt(writer: Writer, messages: list[Message]) -> None:
    """Lay out the system prompt with the tools, then the messages, as a chat template would."""
    writer.add("template", "<|im_start|>system\n")
    for line in SYSTEM.splitlines(keepends=True):
        writer.add("system", line, 0, **_heat_of(line))
    writer.add("template", "\n\n# Tools\n\n<tools>\n")
    for tool in TOOLS:
        weight = (
            {"tool_name": 3.0, "argument:item": 1.0, "argument:field": 2.0} if tool.name == "lookup" else {}
        )
        writer.add(f"tool_schema:{tool.name}", json.dumps(tool.to_openai()), None, **weight)
        writer.add("template", "\n")
    writer.add("template", "</tools><|im_end|>\n")
    example = 0
    for index, message in enumerate(messages[1:], start=1):
        if message.example and message.role == "user":
            example += 1
        name = f"example:{example}" if message.example else message.role
        if message.role == "tool" and not message.example:
            name = f"tool_result:{message.tool_call_id}"
        text = message.content
        if message.reasoning:
            text = f"<think>{message.reasoning}</think>\n"
        text += "".join(call_text(call.name, dict(call.arguments)) for call in message.tool_calls)  # type: ignore[arg-type]
        writer.turn(message.role, name, text, index, **_heat_of(text, name))
    writer.add("template", "<|im_start|>assistant\n")


def _heat_of(text: str, name: str = "system") -> dict[str, float]:
    heat: dict[str, float] = {}
    if name == "user":
        heat = {
            "tool_name": 5.0,
            "argument:item": 9.0,
            "argument:field": 7.0,
            "answer": 3.0,
            "reasoning": 7.0,
        }
    elif name.startswith("tool_result"):
        heat = {"answer": 14.0}
    elif "lookup" in text and name == "system":
        heat = {"tool_name": 8.0, "argument:field": 1.0}
    elif "stock" in text:
        heat = {"argument:field": 4.0, "argument:item": 1.5, "tool_name": 2.0, "answer": 1.0}
    elif "unit" in text:
        heat = {"answer": 4.0}
    return heat


def attribute(writer: Writer, target_name: str, target: Span, through: Span, seed: int) -> Attribution:
    """Return scores that follow the writer's heat, with two hops through the reasoning."""
    random = np.random.default_rng(seed)
    n = len(writer.tokens)
    base = random.gamma(0.22, 0.35, n)
    for span, heat in writer.heat:
        weight = heat.get(target_name, 0.0)
        base[span.start : span.end] *= 1.0 + weight * random.gamma(0.5, 1.6, len(span))
    for position, token in enumerate(writer.tokens):
        if not token.strip().isalnum():
            base[position] *= 0.25
    word = writer_text(writer, target).strip(' "').lower()
    for position, token in enumerate(writer.tokens[: target.start]):
        plain = token.strip(' "').lower()
        if word and plain and (plain == word or plain.rstrip("s") == word):
            base[position] = base[position] + random.uniform(3.0, 7.0)
    base[0] += 2.0
    base[target.start :] = 0.0
    raw0 = base.astype(np.float32)
    raw0[through.start : through.end] *= 6.0
    raw1 = (random.gamma(0.4, 1.0, n) * (0.2 + base)).astype(np.float32)
    raw1[through.start :] = 0.0
    final = raw0 * 0.55 + raw1 * 0.45
    final[through.start :] = 0.0
    final = (final / final.sum()).astype(np.float32)
    return Attribution(
        input_ids=np.array([hash_id(token) for token in writer.tokens], dtype=np.int32),
        tokens=tuple(writer.tokens),
        target=(target,),
        through=(through,) if through else (),
        scores=final,
        hops=(Hop(raw0 / raw0.sum(), 0.46), Hop(raw1 / raw1.sum(), 0.08)),
        method="flashtrace",
        model=MODEL,
        target_name=target_name,
        fidelity="exact",
        segments=tuple(writer.segments),
        settings={"hops": 1},
    )


def attribute_like(known: Attribution, target: str) -> Attribution:
    """Return an attribution of the span `target` in the sequence of another one."""
    span = Span.parse(target)
    scores = known.scores.copy()
    scores[span.start :] = 0
    return replace(
        known,
        target=(span,),
        target_name=target,
        through=(),
        scores=scores / scores.sum(),
        hops=(Hop(scores, 0.0),),
    )


def writer_text(writer: Writer, span: Span) -> str:
    """Return the text of a span."""
    return "".join(writer.tokens[span.start : span.end])


def hash_id(token: str) -> int:
    """Return a stable stand-in for a token id."""
    return sum(ord(character) * (index + 1) for index, character in enumerate(token)) % 49152


def build_run(number: int = 1, item: str = "mirror", stock: int = 7) -> Run:
    """Return the whole run: model step, tool step, model step."""
    begin = START + timedelta(minutes=11 * number)
    trace = Trace(
        id=make_id(begin, f"run {number}"),
        name="warehouse agent",
        started_at=begin,
        ended_at=begin + timedelta(seconds=4.2),
        status="ok",
        session="morning shift",
        tags=["demo"],
    )
    question = Message("user", f"How many {item}s are left?")
    messages = [Message("system", SYSTEM), *examples(), question]
    call = ToolCall("call_0", "lookup", {"item": item, "field": "stock"})
    thought = f"The customer asks how many {item}s are left, that is the stock of one item."
    first, first_attributions = _calling_step(trace, begin, messages, call, thought)
    tool = Step(
        id=make_id(begin + timedelta(seconds=2), f"tool {number}"),
        trace_id=trace.id,
        kind="tool",
        name="lookup",
        started_at=begin + timedelta(seconds=2),
        ended_at=begin + timedelta(seconds=2.05),
        parent_id=first.id,
        status="ok",
        tool_call_id=call.id,
        arguments=dict(call.arguments),  # type: ignore[arg-type]
        result=json.dumps({"item": item, "stock": stock}),
    )
    assert first.output is not None
    messages = [*messages, first.output, Message("tool", tool.result or "", tool_call_id=call.id)]
    answer = f"There are {stock} {item}s left in stock."
    second, second_attributions = _answering_step(trace, begin + timedelta(seconds=2.1), messages, answer)
    trace.steps = [first, tool, second]
    return Run(trace, {first.id: first_attributions, second.id: second_attributions})


def _calling_step(
    trace: Trace, begin: datetime, messages: list[Message], call: ToolCall, thought: str
) -> tuple[Step, list[Attribution]]:
    writer = Writer()
    write_prompt(writer, messages)
    prompt_length = len(writer.tokens)
    writer.add("template", "<think>", -1)
    reasoning = writer.add("reasoning", thought, -1)
    writer.add("template", "</think>\n", -1)
    kind = f"tool_call:{call.name}"
    writer.add(kind, '<tool_call>\n{"name": "', -1)
    targets = {"reasoning": reasoning, "tool_name": writer.add(kind, call.name, -1)}
    writer.add(kind, '", "arguments": {', -1)
    for index, (name, value) in enumerate(dict(call.arguments).items()):  # type: ignore[arg-type]
        writer.add(kind, (", " if index else "") + f'"{name}": "', -1)
        targets[f"argument:{name}"] = writer.add(kind, str(value), -1)
        writer.add(kind, '"', -1)
    writer.add(kind, "}}\n</tool_call>", -1)
    writer.add("template", "<|im_end|>", -1)
    output = Message("assistant", "", thought, (call,))
    step = _model_step(trace, begin, 1.9, messages, output, writer, prompt_length)
    step.finish_reason = "tool_calls"
    none = Span(reasoning.start, reasoning.start)
    found = [
        attribute(writer, name, span, none if name == "reasoning" else reasoning, seed)
        for seed, (name, span) in enumerate(targets.items())
    ]
    return step, found


def _answering_step(
    trace: Trace, begin: datetime, messages: list[Message], answer: str
) -> tuple[Step, list[Attribution]]:
    writer = Writer()
    write_prompt(writer, messages)
    prompt_length = len(writer.tokens)
    target = writer.add("answer", answer, -1)
    writer.add("template", "<|im_end|>", -1)
    step = _model_step(trace, begin, 2.0, messages, Message("assistant", answer), writer, prompt_length)
    step.finish_reason = "stop"
    return step, [attribute(writer, "answer", target, Span(target.start, target.start), 99)]


def _model_step(
    trace: Trace,
    begin: datetime,
    seconds: float,
    messages: list[Message],
    output: Message,
    writer: Writer,
    prompt_length: int,
) -> Step:
    ids = [hash_id(token) for token in writer.tokens]
    return Step(
        id=make_id(begin, f"{trace.id} {begin}"),
        trace_id=trace.id,
        kind="model",
        name="ChatTransformers",
        started_at=begin,
        ended_at=begin + timedelta(seconds=seconds),
        status="ok",
        input=list(messages),
        output=output,
        tools=list(TOOLS),
        model=MODEL,
        prompt_ids=ids[:prompt_length],
        completion_ids=ids[prompt_length:],
        fidelity=Fidelity.EXACT,
        usage={"prompt_tokens": prompt_length, "completion_tokens": len(ids) - prompt_length},
    )


def build_failed_run(number: int = 2) -> Run:
    """Return a run whose model called a tool that does not exist; no attributions yet."""
    run = build_run(number, "sofa", 0)
    first, tool, _ = run.trace.steps
    call = ToolCall("call_0", "sofas", {"item": "sofa"})
    first.output = Message("assistant", "", "They ask about sofas.", (call,))
    tool.name, tool.arguments, tool.result = "sofas", {"item": "sofa"}, None
    tool.status, tool.error = "error", "sofas is not a valid tool, try one of [lookup, reserve]."
    run.trace.steps = [first, tool]
    run.trace.status, run.trace.error = "error", tool.error
    return Run(run.trace, {})


def trajectory_of(run: Run) -> Trajectory:
    """Return the answer of `build_run`'s run traced back, half of it to the tool's result."""
    first, tool, last = run.trace.steps

    def node(name: str, kind: NodeKind, step: str | None, mass: float, choice: float, end: bool) -> Node:
        return Node(name, kind, name, step, mass, choice, end, f"text of {name}", "lamp, stock")

    nodes = (
        node("answer", "target", last.id, 1.0, 0.0, False),
        node("tool_call:lookup", "tool_call", first.id, 0.2, 0.5, False),
        node("reasoning", "reasoning", first.id, 0.1, 0.1, False),
        node("tool_result:call_0", "tool_result", tool.id, 0.5, 0.0, True),
        node("user", "user", None, 0.25, 0.3, True),
        node("system", "system", None, 0.15, 0.1, True),
        node("tool_schema:lookup", "tool_schema", None, 0.1, 0.1, True),
    )
    edges = (
        Edge("tool_result:call_0", "answer", 0.5, "words"),
        Edge("tool_call:lookup", "answer", 0.2, "words"),
        Edge("user", "answer", 0.15, "words"),
        Edge("system", "answer", 0.15, "words"),
        Edge("reasoning", "tool_call:lookup", 0.1, "words"),
        Edge("tool_schema:lookup", "tool_call:lookup", 0.1, "words"),
        Edge("user", "reasoning", 0.1, "words"),
        Edge("tool_call:lookup", "tool_result:call_0", 0.5, "choice"),
        Edge("user", "tool_call:lookup", 0.2, "choice"),
        Edge("reasoning", "tool_call:lookup", 0.1, "choice"),
        Edge("system", "tool_call:lookup", 0.1, "choice"),
        Edge("tool_schema:lookup", "tool_call:lookup", 0.1, "choice"),
        Edge("user", "reasoning", 0.1, "choice"),
    )
    return Trajectory(
        run.trace.id, last.id, "answer", "There are 12 lamps left in stock.", nodes, edges,
        (last.id, first.id), "flashtrace", 1, MODEL, "exact",
    )  # fmt: skip
