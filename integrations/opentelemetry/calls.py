"""Tool calls and what answered them.

1. A call belongs to the model step whose output makes it.
2. A tool step answers the call with its id; where one of them has none, the unanswered call of its
   name. Ids repeat between rounds (``call_0`` each time), between parallel agents and even within a
   message, so among several those with its arguments come first, then the one closest in the tree
   of spans, then the latest step that began before the tool did, and of one step the first call.
3. A tool message answers a call too: it completes the tool step, or, where no tool ran (the tool
   does not exist), is all there is of one.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.trace import Step, make_id

from ..blocks import written_arguments

_CANDIDATES = 64
"""Calls of the same id or name that are compared; those still earlier are of rounds long past."""

_ERROR = re.compile(r"\s*(error\b|\S+ is not a valid tool)", re.IGNORECASE)


@dataclass(slots=True)
class Call:
    """One call of a model step, and the tool step that answered it."""

    made: ToolCall
    index: int
    step: Step
    path: tuple[str, ...]
    answer: Step | None = None

    @property
    def at(self) -> datetime:
        """When its model step began."""
        return self.step.started_at


@dataclass(frozen=True, slots=True)
class Answer:
    """A tool message, and what its history says of the call it answers.

    Attributes:
        index: the call's place among those of its message.
    """

    call_id: str
    name: str
    index: int
    message: Message


class Calls:
    """All calls of a trace.

    Model steps must be added in order of their start.
    """

    def __init__(self) -> None:
        # Both by the tool's span they happen inside, too.
        self._by_id: dict[tuple[str, str], list[Call]] = {}
        self._by_name: dict[tuple[str, str], list[Call]] = {}

    def add(self, step: Step, path: tuple[str, ...], scope: str) -> None:
        """Add the calls a model step makes.

        Args:
            step: the model step.
            path: keys of the spans from the top down to its own.
            scope: key of the tool's span it happens inside, empty outside of any.
        """
        for index, made in enumerate(step.output.tool_calls if step.output else ()):
            call = Call(made, index, step, path)
            self._by_id.setdefault((scope, made.id), []).append(call)
            self._by_name.setdefault((scope, made.name), []).append(call)

    def of_tool(
        self,
        name: str,
        call_id: str | None,
        arguments: Any,
        began: datetime,
        path: tuple[str, ...],
        scope: str,
    ) -> Call | None:
        """Return the call a tool's span answers."""
        found = self._known_as(call_id or "", name, scope)
        end = bisect_right(found, began, key=attrgetter("at"))
        earlier = found[max(0, end - _CANDIDATES) : end]
        if not earlier:  # clocks differ, and even the call's own step seems to come later
            return next((call for call in found if call.answer is None), found[0] if found else None)
        waiting = [call for call in earlier if call.answer is None]
        same = [call for call in waiting if call.made.arguments == arguments]
        again = earlier if call_id else []  # the tool was tried a second time
        return _closest(same or waiting or again, path)

    def of_message(self, answer: Answer, before: datetime, path: tuple[str, ...], scope: str) -> Call | None:
        """Return the call a tool message answers that is seen at a time and place of the trace."""
        found = self._known_as(answer.call_id, answer.name, scope)
        end = bisect_left(found, before, key=attrgetter("at"))
        earlier = found[max(0, end - _CANDIDATES) : end]
        in_place = [call for call in earlier if call.index == answer.index]
        return _closest(in_place or earlier, path)

    def _known_as(self, call_id: str, name: str, scope: str) -> list[Call]:
        """Return the calls of an id; where there are none, those of a name that may be meant."""
        found = self._by_id.get((scope, call_id), []) if call_id else []
        return found or [
            call for call in self._by_name.get((scope, name), []) if not (call_id and call.made.id)
        ]


def trailing_answers(messages: list[Message]) -> Iterator[Answer]:
    """Yield the tool messages at a history's end.

    One without an id answers the call in its place of the assistant message before.
    """
    start = len(messages)
    while start > 0 and messages[start - 1].role == "tool":
        start -= 1
    made = messages[start - 1].tool_calls if start else ()
    for position, message in enumerate(messages[start:]):
        call_id = message.tool_call_id or ""
        places = [index for index, call in enumerate(made) if not call_id or call.id == call_id]
        index = position if position in places or not places else places[0]
        if index < len(made):
            yield Answer(call_id or made[index].id, made[index].name, index, message)
        elif call_id:
            yield Answer(call_id, message.name or "", index, message)


def answered_step(call: Call, message: Message) -> Step:
    """Return the tool step of a call that was answered although no tool's span is there.

    That is what a call to a tool that does not exist looks like, and every call where only the
    model is instrumented. It begins when the model had made the call, so that it sorts before
    what follows, and parallel calls keep their order.
    """
    began = (call.step.ended_at or call.step.started_at) + timedelta(microseconds=call.index)
    failed = _failed(call, message)
    return Step(
        id=make_id(began, f"{call.step.id}/{call.index}"),
        trace_id=call.step.trace_id,
        kind="tool",
        name=call.made.name or message.name or "",
        started_at=began,
        ended_at=began,
        parent_id=call.step.id,
        status="error" if failed else "ok",
        error=message.content if failed else None,
        tool_call_id=call.made.id or message.tool_call_id,
        arguments=written_arguments(call.made),
        result=message.content,
    )


def _failed(call: Call, message: Message) -> bool:
    """Tell whether an answer reports a failure; without a tool's span only its words can say."""
    offered = {tool.name for tool in call.step.tools}
    unknown = bool(offered) and call.made.name not in offered
    return message.status == "error" or unknown or _ERROR.match(message.content) is not None


def _closest(calls: list[Call], path: tuple[str, ...]) -> Call | None:
    """Return the call closest in the tree of spans, of several the latest step's, and its first."""
    best: Call | None = None
    for call in calls:
        closer = _shared(call.path, path) - _shared(best.path, path) if best is not None else 1
        if closer > 0 or (closer == 0 and best is not None and call.step is not best.step):
            best = call
    return best


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Return how many spans are above both."""
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length
