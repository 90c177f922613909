"""Made-up runs whose every token is known, and an explainer that gives each token a score."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import TargetError
from flashtrace_agent.following.carrying import Mass
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
Piece = tuple[str, str]
"""A segment's name and its text, one token a word."""


def token(word: str) -> int:
    """Return a word's token id."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=3).digest(), "big")


def pieces_of(message: Message, *, history: bool) -> list[Piece]:
    """Return the segments of a message, as the prompt or the completion shows them."""
    if message.role != "assistant":
        name = f"tool_result:{message.tool_call_id}" if message.role == "tool" else message.role
        return [(name, message.content)]
    pieces: list[Piece] = []
    if message.reasoning and not history:
        pieces.append(("reasoning", message.reasoning))
    if message.content:
        pieces.append(("assistant" if history else "answer", message.content))
    for call in message.tool_calls:
        text = " ".join([call.name, *map(str, dict(call.arguments).values())])  # type: ignore[arg-type]
        pieces.append((f"tool_call:{call.name}", text))
    return pieces


class Run:
    """A run built step by step; the prompt drops earlier reasoning, as chat templates do."""

    def __init__(self) -> None:
        self.trace = Trace(make_id(START, "run"), "run", START, START, "ok")
        self.segments: dict[str, list[Segment]] = {}

    def say(self, history: Sequence[Message], output: Message, **fields: Any) -> Step:
        """Add a model step."""
        ids: list[int] = [token("<tools>")]
        segments = [Segment("tool_schema:look", Span(0, 1))]

        def add(name: str, text: str, message: int | None) -> None:
            start = len(ids)
            ids.extend(token(word) for word in text.split())
            if len(ids) > start:
                segments.append(Segment(name, Span(start, len(ids)), message))

        for index, message in enumerate(history):
            add("template", f"<{message.role}>", None)
            for name, text in pieces_of(message, history=True):
                add(name, text, index)
        add("template", "<assistant>", None)
        prompt = len(ids)
        for name, text in pieces_of(output, history=False):
            add(name, text, -1)
        add("template", "<end>", -1)
        moment = START + timedelta(seconds=len(self.trace.steps) + 1)
        known = {"prompt_ids": ids[:prompt], "completion_ids": ids[prompt:], "fidelity": Fidelity.EXACT}
        step = Step(
            make_id(moment, str(moment)), self.trace.id, "model", "m", moment,
            input=list(history), output=output, **(known | fields),
        )  # fmt: skip
        self.trace.steps.append(step)
        self.segments[step.id] = segments
        return step

    def ran(self, parent: Step, call: ToolCall, result: str) -> Message:
        """Add a tool step and return the message that reports its result."""
        moment = START + timedelta(seconds=len(self.trace.steps) + 1)
        self.trace.steps.append(
            Step(
                make_id(moment, str(moment)), self.trace.id, "tool", call.name, moment,
                parent_id=parent.id, tool_call_id=call.id, result=result,
            )
        )  # fmt: skip
        return Message("tool", result, tool_call_id=call.id)


class ByWord:
    """An explainer whose scores depend on the word alone: `shares` by word, else a small number."""

    def __init__(self, run: Run, shares: dict[str, float] | None = None, rest: float = 0.0) -> None:
        self.run = run
        self.shares = {token(word): share for word, share in (shares or {}).items()}
        self.rest = rest
        self.asked: list[tuple[str, np.ndarray[Any, Any]]] = []

    def named(self, step: Step, target: str) -> Attribution:
        return self._attribution(step, target)

    def weighted(self, step: Step, weights: Sequence[Mass]) -> list[Attribution]:
        self.asked += [(step.id, each) for each in weights]
        return [self._attribution(step, "words") for _ in weights]

    def segments(self, step: Step) -> list[Segment]:
        if step.token_ids is None:
            raise TargetError(f"Step {step.id} has no token ids.")
        return self.run.segments[step.id]

    def _attribution(self, step: Step, target: str) -> Attribution:
        segments = tuple(self.segments(step))
        ids = step.token_ids or []
        prompt = len(step.prompt_ids or [])
        scores = np.array([self.shares.get(token_id, self.rest) for token_id in ids], dtype=np.float32)
        scores[prompt:] = 0
        if scores.sum() > 0:
            scores /= scores.sum()
        return Attribution(
            input_ids=np.asarray(ids, dtype=np.int32),
            tokens=tuple(f" t{token_id}" for token_id in ids),
            target=(Span(prompt, len(ids)),),
            through=(),
            scores=scores,
            hops=(),
            method="flashtrace",
            target_name=target,
            segments=segments,
            settings={"hops": 1},
        )
