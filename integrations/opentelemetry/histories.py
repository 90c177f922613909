"""What a span lost and other spans of the run have: outputs from later prompts, calls from earlier outputs.

OpenAI's Agents SDK under OpenTelemetry's and OpenLLMetry's instrumentation has outputs without their calls,
or none, and so has Ollama's client; the next prompt repeats them. OpenLIT re-sends an assistant's words
without its calls, nothing where it said no words, and tools' results without the ids of what they answer.
No model is asked that way:
a result follows its call. Where a prompt begins with an earlier step's prompt and a result comes next, what
stands between them is that step's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flashtrace_agent.message import Message
from flashtrace_agent.trace import Step

_CANDIDATES = 64
"""Steps with prompts of one length that are compared; those still earlier are of other conversations."""


def complete_outputs(steps: Sequence[Step]) -> None:
    """Give model steps, in order of their start, the outputs and calls that only later prompts repeat.

    A step whose output was completed says so in its settings, as ``output_restored``.
    """
    asked: dict[int, list[Step]] = {}  # by the length of their prompt
    lacking: dict[int, list[Step]] = {}
    for step in steps:
        length = len(step.input)
        for index in [known for known in lacking if known < length]:
            _learn(lacking[index], asked[index], step.input)
        asked.setdefault(length, []).append(step)
        if length and step.status != "error" and not (step.output and tells_calls(step.output)):
            lacking.setdefault(length, []).append(step)


def complete_reasoning(asked: Sequence[tuple[list[Message], Step]]) -> None:
    """Give model steps the reasoning that only later prompts repeat, as those of Vercel's AI SDK 5 do.

    Args:
        asked: prompts as they were reported, with earlier reasoning, and the steps they are of, in order of
            their start.
    """
    earlier: dict[int, list[tuple[list[Message], Step]]] = {}  # by the length of their prompt
    for prompt, step in asked:
        for index, message in enumerate(prompt):
            if message.reasoning is None:
                continue
            for before, other in earlier.get(index, [])[-_CANDIDATES:]:
                output = other.output
                if (
                    output is None
                    or output.reasoning
                    or not _says(output, message)
                    or before != prompt[:index]
                ):
                    continue
                other.output = replace(output, reasoning=message.reasoning)
                other.settings["output_restored"] = True
        earlier.setdefault(len(prompt), []).append((prompt, step))


def _learn(lacking: list[Step], asked: Sequence[Step], history: Sequence[Message]) -> None:
    """Give the latest of steps whose prompts are as long, and begin the history, what it says they wrote."""
    index = len(asked[0].input)
    message, before = history[index], list(history[:index])
    found = [step for step in lacking[-_CANDIDATES:] if _adds(message, step.output) and step.input == before]
    if not found or any(_says(step.output, message) and step.input == before for step in asked):
        return  # what another attempt wrote
    latest = found[-1]
    thought = latest.output.reasoning if latest.output else None  # which no prompt repeats
    latest.output = replace(message, reasoning=message.reasoning or thought)
    latest.settings["output_restored"] = True
    lacking[:] = [step for step in lacking if step is not latest]


def _adds(message: Message, output: Message | None) -> bool:
    """Tell whether a prompt's message can be an output, and says more than is known of it."""
    if message.role != "assistant" or output is None:
        return message.role == "assistant"
    is_alike = message.content == output.content and not tells_calls(output)
    return is_alike and bool(message.tool_calls) and not _says(output, message)


def tells_calls(output: Message) -> bool:
    """Tell whether an output has calls, all of which can be read.

    Streamed, OpenInference's JavaScript and BeeAI run those made at once together: ``{"a": 1}{"a": 2}``.
    """
    return bool(output.tool_calls) and all(isinstance(call.arguments, dict) for call in output.tool_calls)


def _says(output: Message | None, message: Message) -> bool:
    """Tell whether an output is a prompt's message; ids may be lost."""
    if output is None or output.content != message.content:
        return False
    made = ([(call.name, call.arguments) for call in said.tool_calls] for said in (output, message))
    return next(made) == next(made)


def complete_histories(steps: Sequence[Step]) -> None:
    """Give the prompts of model steps, in order of their start, the calls that they lack.

    A step whose prompt was completed says so in its settings, as ``calls_restored``.
    """
    if not any(_lacks_calls(step.input, index) for step in steps for index in range(len(step.input))):
        return
    callers: dict[str, list[Message]] = {}  # outputs with calls, by the digest of their prompt
    for step in steps:
        digest, index = "", 0
        while index < len(step.input):
            output = _lost(step.input, index, callers.get(digest, ()))
            if output is not None:
                step.input = _with_calls(step.input, index, output)
                step.settings["calls_restored"] = True
            digest = step.input[index].digest(digest)
            index += 1
        if step.output is not None and step.output.tool_calls:
            callers.setdefault(digest, []).append(step.output)


def _lacks_calls(history: Sequence[Message], index: int) -> bool:
    """Tell whether the message at an index is a result that no call can be seen for."""
    if history[index].role != "tool":
        return False
    before = index
    while before and history[before].role == "tool":
        before -= 1
    return index - before > len(history[before].tool_calls)


def _lost(history: Sequence[Message], index: int, outputs: Sequence[Message]) -> Message | None:
    """Return the output, the latest of several, whose calls are missing at an index, in the words re-sent."""
    message = history[index]
    if message.role == "tool":
        # Nothing is left of a message without words; CrewAI re-sends none beside calls.
        said = next((output for output in reversed(outputs) if not output.content), None)
        return said or (replace(outputs[-1], content="") if outputs else None)
    if message.role == "assistant" and not message.tool_calls and _is_result(history, index + 1):
        return next((output for output in reversed(outputs) if output.content == message.content), None)
    return None


def _with_calls(history: Sequence[Message], index: int, output: Message) -> list[Message]:
    """Return a history with an output's calls at an index, and their ids at the results after it."""
    rest = history[index:] if _is_result(history, index) else history[index + 1 :]
    said = Message("assistant", output.content, tool_calls=output.tool_calls)
    whole = [*history[:index], said, *rest]
    for place, call in enumerate(output.tool_calls, index + 1):
        if not _is_result(whole, place):
            break
        whole[place] = replace(whole[place], tool_call_id=whole[place].tool_call_id or call.id or None)
    return whole


def _is_result(history: Sequence[Message], index: int) -> bool:
    return index < len(history) and history[index].role == "tool"
