"""What a prompt is made of before it is rendered: pieces, and the strings they consist of.

A piece becomes a segment. A content or a reasoning is one string; a call or a tool's schema is
an object of which several strings (its name, descriptions, text arguments) can be recognised
in the rendered prompt. Those strings are the leaves, given by their place in the dicts that the
chat template reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flashtrace_agent.completion import parse_completion
from flashtrace_agent.message import Message

from .text_agents import is_text_agent, rounds_in

Path = tuple[str | int, ...]
Found = tuple[Path, str, int, int]
"""A string of the conversation, where it is, and the range of it that is meant."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A named part of the prompt.

    Attributes:
        name: the segment's name.
        message: index of its message; None for a tool schema.
        is_object: True for a call or a schema, which reaches beyond its leaves.
    """

    name: str
    message: int | None
    is_object: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A string of a piece, without whitespace at its edges.

    Attributes:
        piece: index of its piece.
        path: where the string is in ``{"messages": …, "tools": …}``.
        start: where the leaf begins in that string.
        end: where it ends.
        text: the leaf: ``string[start:end]``.
        lead: whitespace before it, if the piece begins with that.
        trail: whitespace after it, if the piece ends with that.
    """

    piece: int
    path: Path
    start: int
    end: int
    text: str
    lead: str = ""
    trail: str = ""


def find_leaves(messages: Sequence[Message], conversation: dict[str, Any]) -> tuple[list[Piece], list[Leaf]]:
    """List the pieces of a prompt and their leaves: schemas first, then messages in order.

    Args:
        messages: the messages.
        conversation: ``{"messages": …, "tools": …}`` in the template's form.
    """
    pieces: list[Piece] = []
    leaves: list[Leaf] = []
    for piece, strings in (*_schemas(conversation["tools"]), *_messages(messages, conversation)):
        leaves += (leaf for found in strings if (leaf := _leaf(len(pieces), piece, found)))
        pieces.append(piece)
    return pieces, leaves


def _schemas(tools: Sequence[dict[str, Any]]) -> Iterator[tuple[Piece, list[Found]]]:
    """Yield a piece for each tool, with its strings."""
    for index, tool in enumerate(tools):
        function = tool["function"]
        strings = _schema_strings(function, ("tools", index, "function"))
        yield Piece(f"tool_schema:{function['name']}", None, True), strings


def _messages(
    messages: Sequence[Message], conversation: dict[str, Any]
) -> Iterator[tuple[Piece, list[Found]]]:
    """Yield the pieces of all messages, with their strings."""
    example_names = _example_names(messages)
    text_agent = not conversation["tools"] and is_text_agent(messages)
    results = 0
    for index, (message, data) in enumerate(zip(messages, conversation["messages"], strict=True)):
        example, place = example_names[index], ("messages", index)
        results += message.role == "tool"
        for key in ("reasoning_content", "thinking"):
            if key in data:
                yield Piece(example or "reasoning", index, False), [_whole((*place, key), data[key])]
        content: str = data["content"]
        rounds = rounds_in(message, results) if text_agent and message.role != "tool" else []
        results += sum(name.startswith("tool_result") for name, _, _ in rounds)
        parts = rounds or [(_name(message, results), 0, len(content))]
        if message.role == "assistant" and not rounds:
            parts = list(_assistant_parts(content))
        for name, start, end in parts:
            yield Piece(example or name, index, False), [((*place, "content"), content, start, end)]
        for number, call in enumerate(data.get("tool_calls", ())):
            strings = _call_strings(call["function"], (*place, "tool_calls", number, "function"))
            yield Piece(example or f"tool_call:{call['function']['name']}", index, True), strings


def _leaf(number: int, piece: Piece, found: Found) -> Leaf | None:
    """Return the leaf of a piece's string; None where that is nothing but whitespace."""
    path, string, start, end = found
    text = string[start:end].strip()
    if not text:
        return None
    left = start + string[start:end].index(text)
    right = left + len(text)
    # An object's own strings lie within it, so whitespace at their edges is not the piece's.
    lead, trail = ("", "") if piece.is_object else (string[start:left], string[right:end])
    return Leaf(number, path, left, right, text, lead, trail)


def _whole(path: Path, string: str) -> Found:
    return path, string, 0, len(string)


def _schema_strings(function: dict[str, Any], place: Path) -> list[Found]:
    # Templates compare types and enum values, so only prose and the name are marked.
    strings = _strings(function, place)
    return [
        _whole(*found) for found in strings if found[0][-1] == "description" or found[0] == (*place, "name")
    ]


def _call_strings(function: dict[str, Any], place: Path) -> list[Found]:
    marked = ((*place, "name"), (*place, "arguments"))
    return [_whole(*found) for found in _strings(function, place) if found[0][: len(place) + 1] in marked]


def _name(message: Message, results: int) -> str:
    if message.role == "tool":
        return f"tool_result:{message.tool_call_id or results}"
    return message.role


def _assistant_parts(content: str) -> Iterator[tuple[str, int, int]]:
    """Name the parts of an assistant's content.

    Frameworks that do not parse completions send them back raw, with reasoning and calls in
    the content.
    """
    parsed = parse_completion(content)
    if parsed.reasoning_range is None and not parsed.calls:
        yield "assistant", 0, len(content)
        return
    if parsed.reasoning_range is not None:
        yield "reasoning", *parsed.reasoning_range
    parts = [("assistant", *span) for span in parsed.answer_ranges]
    parts += [(f"tool_call:{call.name}", call.body_start, call.body_end) for call in parsed.calls]
    yield from sorted(parts, key=lambda part: part[1])


def _example_names(messages: Sequence[Message]) -> list[str | None]:
    """Return ``example:k`` for each message of a worked example, None for the others.

    An example begins with the first example message after others, and with each user message.
    """
    names: list[str | None] = []
    count = 0
    for message in messages:
        if not message.example:
            names.append(None)
            continue
        if message.role == "user" or not names or names[-1] is None:
            count += 1
        names.append(f"example:{count}")
    return names


def _strings(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield every string in nested dicts and lists with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))
