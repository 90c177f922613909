"""Who wrote the messages of a prompt: which earlier step, or nobody in the run.

A message is known again by what it says: its answer text and its calls' names and arguments, with
white space evened out. Left aside are the reasoning, which chat templates and frameworks drop from
the history, call ids, which some dialects renew, and arguments' spelling. Where several earlier
steps said the same, the one with the same history before it is meant; else, going backwards, the
latest that keeps the order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flashtrace_agent.completion import parse_completion
from flashtrace_agent.message import Message
from flashtrace_agent.prompt.text_agents import rounds_in
from flashtrace_agent.trace import Step


@dataclass(frozen=True, slots=True)
class CallOrigin:
    """The call that fetched a tool result.

    Attributes:
        step: the model step that made the call.
        call: the call's number in that step's output, from 0.
        tool_step: id of the tool step that ran it; None where none was recorded.
    """

    step: Step
    call: int
    tool_step: str | None


class Authorship:
    """Looks up the authors of messages in one run.

    Args:
        steps: all steps of the run, in order of time.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)
        self._order = {step.id: index for index, step in enumerate(steps)}
        self._by_id = {step.id: step for step in steps}
        self._sayings: dict[int, str] = {}  # by id: the messages live as long as the steps
        self._said: dict[str, list[Step]] = {}
        self._place: dict[str, str] = {}
        for step in steps:
            if step.kind == "model" and step.output is not None:
                self._said.setdefault(saying(step.output), []).append(step)
                self._place[step.id] = self._places(step.input)[-1]
        self._writers: dict[str, list[Step | None]] = {}
        self._rounds: dict[tuple[str, int], dict[tuple[str, int], tuple[Step, int]]] = {}

    def writers(self, step: Step) -> list[Step | None]:
        """Return for each message of a step's input the earlier model step that wrote it."""
        if step.id not in self._writers:
            self._writers[step.id] = self._find_writers(step)
        return self._writers[step.id]

    def call_of(self, step: Step, index: int) -> CallOrigin | None:
        """Return the call that fetched the tool result at `index` of a step's input."""
        message = step.input[index]
        earlier = 0  # results since the calls, of those without an id
        for before in range(index - 1, -1, -1):
            asking = step.input[before]
            if asking.role == "tool":
                earlier += 1
                continue
            ids = [call.id for call in asking.tool_calls]
            if message.tool_call_id in ids:
                number = ids.index(message.tool_call_id)
            elif message.tool_call_id is None and earlier < len(ids):
                number = earlier
            elif asking.role == "assistant" and not ids and message.tool_call_id is None:
                number = earlier  # calls left as text in the content
            else:
                earlier = 0
                continue
            writer = self.writers(step)[before]
            return None if writer is None else self.call(writer, number)
        return None

    def round_of(self, step: Step, index: int, name: str, number: int) -> tuple[Step, int] | None:
        """Return who wrote, or asked for, a part of a text agent's rounds in one message.

        Args:
            step: the step whose prompt holds the message.
            index: the message in its input.
            name: the part's segment name.
            number: which part of that name it is in the message, from 1.

        Returns:
            The earlier step whose act that round began with, and the act's number in it; None
            where the message has no such part or no step acted so.
        """
        key = (step.id, index)
        if key not in self._rounds:
            self._rounds[key] = self._find_rounds(step, index)
        return self._rounds[key].get((name, number))

    def inner_answer(self, origin: CallOrigin, step: Step, index: int) -> Step | None:
        """Return the step inside a tool (an agent of its own) whose answer is the result at `index`."""
        result = step.input[index].content.strip()
        if origin.tool_step is None or not result:
            return None
        earlier = self._steps[: self._order[step.id]]  # it may come later, where clocks disagree
        said = [
            (inner, inner.output.content.strip())
            for inner in earlier
            if inner.kind == "model" and inner.output and self._enclosing(inner) == origin.tool_step
        ]
        return said[-1][0] if said and said[-1][1] == result else None

    def assignment(self, step: Step, index: int) -> tuple[Step, int] | None:
        """Return the call that gave an agent inside a tool its message: one argument says the same.

        Returns:
            The calling step and the call's number in it, from 0; None where there is no such call.
        """
        tool = self._by_id.get(self._enclosing(step) or "")
        caller = self._by_id.get(tool.parent_id or "") if tool is not None else None
        if tool is None or caller is None or caller.output is None:
            return None
        if self._order[caller.id] >= self._order[step.id]:
            return None  # clocks that disagree
        said = step.input[index].content.strip()
        for number, call in enumerate(caller.output.tool_calls):
            if call.id == tool.tool_call_id and not isinstance(call.arguments, str):
                given = (value.strip() for value in call.arguments.values() if isinstance(value, str))
                return (caller, number) if said and said in given else None
        return None

    def _enclosing(self, step: Step) -> str | None:
        """Return the id of the tool step a step is in, directly."""
        above = self._by_id.get(step.parent_id or "")
        return above.id if above is not None and above.kind == "tool" else None

    def _find_rounds(self, step: Step, index: int) -> dict[tuple[str, int], tuple[Step, int]]:
        message = step.input[index]
        results = sum(
            name.startswith("tool_result")
            for other in step.input[:index]
            for name, _, _ in rounds_in(other, 0)
        )
        parts = rounds_in(message, results)
        acts: list[str] = []  # what was called, in order
        place: list[tuple[tuple[str, int], int]] = []  # part -> the act of its round
        counts: dict[str, int] = {}
        for name, start, end in parts:
            number = counts[name] = counts.get(name, 0) + 1
            kind = name.partition(":")[0]
            # A thought leads to the act after it, a result follows the one before it.
            place.append(((name, number), len(acts) if kind == "reasoning" else max(len(acts) - 1, 0)))
            if kind == "tool_call":
                place[-1] = ((name, number), len(acts))
                acts.append(saying(Message("assistant", f"Action: {message.content[start:end]}")))
        writers: list[Step | None] = [None] * len(acts)
        bound = self._order[step.id]
        for act in range(len(acts) - 1, -1, -1):
            made = [s for s in self._said.get(acts[act], ()) if self._order[s.id] < bound]
            if made:
                writers[act] = made[-1]
                bound = self._order[made[-1].id]
        return {
            part: (writer, 0)
            for part, act in place
            if act < len(writers) and (writer := writers[act]) is not None
        }

    def _find_writers(self, step: Step) -> list[Step | None]:
        places = self._places(step.input)
        found: list[Step | None] = [None] * len(step.input)
        bound = self._order[step.id]
        for index in range(len(step.input) - 1, -1, -1):
            message = step.input[index]
            if message.role != "assistant" or message.example:
                continue
            earlier = [s for s in self._said.get(self._saying(message), ()) if self._order[s.id] < bound]
            same_place = [s for s in earlier if self._place[s.id] == places[index]]
            chosen = next(reversed(same_place or earlier), None)
            if chosen is not None:
                found[index] = chosen
                bound = self._order[chosen.id]
        return found

    def _saying(self, message: Message) -> str:
        if id(message) not in self._sayings:
            self._sayings[id(message)] = saying(message)
        return self._sayings[id(message)]

    def _places(self, messages: Sequence[Message]) -> list[str]:
        """Return for each message, and for what follows the last, a digest of all said before it."""
        places = [""]
        for message in messages:
            content = f"{places[-1]}\0{self._saying(message)}".encode("utf-8", "surrogatepass")
            places.append(hashlib.blake2b(content, digest_size=16).hexdigest())
        return places

    def call(self, writer: Step, number: int) -> CallOrigin:
        """Return a step's call by its number from 0, with the tool step that ran it."""
        calls = writer.output.tool_calls if writer.output else ()
        call_id = calls[number].id if number < len(calls) else None
        ran = [
            other.id
            for other in self._steps
            if other.kind == "tool" and other.parent_id == writer.id and other.tool_call_id == call_id
        ]
        return CallOrigin(writer, number, ran[0] if ran and call_id is not None else None)


def saying(message: Message) -> str:
    """Return what a message says, as a key that is the same however it was sent back."""
    content, calls = message.content, [(call.name, call.arguments) for call in message.tool_calls]
    if message.role == "assistant":
        # Frameworks that do not parse completions send them back raw.
        parsed = parse_completion(content, text_agent=True)
        if parsed.reasoning_range is not None or parsed.calls:
            content = parsed.answer
            calls += [(call.name, call.arguments) for call in parsed.calls]
    plain = [[name, _plain_arguments(arguments)] for name, arguments in calls]
    return json.dumps([message.role, " ".join(content.split()), plain], sort_keys=True, default=str)


def _plain_arguments(arguments: Mapping[str, Any] | str) -> Any:
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)
        except (ValueError, RecursionError):
            return " ".join(arguments.split())
    return dict(arguments)
