"""Text agents: whether a prompt is one's, where its earlier rounds are, and what its output says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flashtrace_agent.completion import parse_completion, react
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.trace import Step

Part = tuple[str, int, int]
"""A segment's name and its range in the content."""


def is_text_agent(messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> bool:
    """Tell whether a prompt asks for thoughts and actions as text; none does that offers tools natively."""
    if tools:
        return False
    asking = (m.content for m in messages if m.role in ("system", "user") and not m.example)
    return any(react.instructs(content) for content in asking)


def rounds_in(message: Message, results: int) -> list[Part]:
    """Name the parts of a text agent's message that earlier rounds left there, in order.

    A prompt that holds everything in one message has them after its last question; chats have the
    agent's turns in assistant messages and ``Observation: …`` in the user's.

    Args:
        message: a message of such a prompt.
        results: how many results the messages before it hold.

    Returns:
        The parts, the first of them the message's own words where such precede the rounds; nothing
        where there are no rounds in it.
    """
    content = message.content
    start = react.rounds_begin(content) if message.role != "assistant" else 0
    if start == len(content):  # no question in it: a bare observation, or nothing of the kind
        first = next(iter(react.sections_of(content, 0, len(content))), None)
        if first is None or first.kind != "observation" or content[: first.label].strip():
            return []
        start = 0
    parts = react.scratchpad(content, start, results)
    if not parts or message.role == "assistant" or start == 0:
        return parts
    return [(message.role, 0, start), *parts]


def read_turn(step: Step) -> None:
    """Take a text agent's output apart: its thought is reasoning, its actions calls, its answer content.

    The text as it was written stays in the settings as ``text``. Any other agent's step, and one
    that follows no format, is left as it is. A call's id is its number, since text has none.
    """
    output = step.output
    if output is None or output.tool_calls or not output.content.strip():
        return
    if not is_text_agent(step.input, step.tools):
        return
    found = parse_completion(output.content, text_agent=True)
    if not found.calls and found.answer in ("", output.content):
        return  # nothing but a thought or a failed act: what was said is all there is to show
    calls = [ToolCall(f"call_{number}", call.name, call.arguments) for number, call in enumerate(found.calls)]
    reasoning = found.reasoning if output.reasoning is None else output.reasoning
    step.settings["text"] = output.content
    step.output = replace(output, content=found.answer, reasoning=reasoning, tool_calls=tuple(calls))
