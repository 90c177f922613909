"""OpenAI's Responses API: what a model thinks, says and calls in one turn are items of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flashtrace_agent.message import Message

from ..blocks import block_type, content_text, thought
from .tool_calls import read_call
from .values import first_text

_ITEMS = frozenset({"reasoning", "function_call", "function_call_output"})


def is_item(value: Any) -> bool:
    """Tell whether an object is an item that is no message."""
    return isinstance(value, Mapping) and block_type(value) in _ITEMS and "role" not in value


def read_item(item: Mapping[str, Any]) -> Message:
    """Return the message an item amounts to by itself."""
    if item["type"] == "reasoning":
        return Message("assistant", reasoning=thought(item) or None)
    if item["type"] == "function_call":
        return Message("assistant", tool_calls=(read_call(item),))
    return Message("tool", content_text(item.get("output")), tool_call_id=first_text(item.get("call_id")))


def joined_turns(messages: Iterable[Message]) -> list[Message]:
    """Make one message of the assistant's that follow each other, as chat templates expect them.

    Two that both have words stay two.
    """
    turns: list[Message] = []
    for message in messages:
        last = turns[-1] if turns else None
        if last is None or not last.role == message.role == "assistant" or (last.content and message.content):
            turns.append(message)
            continue
        thoughts = [said for said in (last.reasoning, message.reasoning) if said]
        turns[-1] = replace(
            last,
            content=last.content or message.content,
            reasoning="\n".join(thoughts) or None,
            tool_calls=last.tool_calls + message.tool_calls,
        )
    return turns
