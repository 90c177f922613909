"""Take a line out of a step's messages or tools, as its owner would when editing the prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.trace import Step

from .lines import Line, split_lines

Prompt = tuple[list[Message], list[ToolSchema]]


def is_removable(line: Line) -> bool:
    """Tell whether a line can go by itself: not a tool's name, its schema, or a part of an example."""
    if line.segment == "system":
        return bool(line.text)
    if line.segment.startswith("tool_schema:"):
        whole = not line.part and not line.text
        return whole or line.part == "description" or line.part.startswith("parameter:")
    return line.segment.startswith("example:") and not line.part and not line.text


def remove_lines(step: Step, lines: Sequence[Line]) -> Prompt | None:
    """Return the step's messages and tools without the lines; None if one of them is not there."""
    messages, tools = list(step.input), list(step.tools)
    # Whole examples last: the numbers of the others refer to the messages as they were.
    for line in sorted(lines, key=lambda line: line.segment.startswith("example:")):
        if line.segment.startswith("example:"):
            continue
        changed = (
            _from_system(messages, line.text)
            if line.segment == "system"
            else _from_tools(tools, line, line.segment.removeprefix("tool_schema:"))
        )
        if not changed:
            return None
    numbers = [
        int(line.segment.removeprefix("example:")) for line in lines if line.segment.startswith("example:")
    ]
    if numbers:
        kept = [
            message
            for message, number in zip(messages, _examples(messages), strict=True)
            if number not in numbers
        ]
        if len(kept) == len(messages):
            return None
        messages = kept
    return messages, tools


def without_text(content: str, text: str) -> str | None:
    """Return a content without a line, wherever it stands, and without the gaps that would leave.

    The same words inside another line stay, unless they stand nowhere else. None if they are not there.
    """
    start = _place(content, text)
    if start is None:
        start = content.find(text)
        return _cut(content, start, len(text)) if start >= 0 else None
    while start is not None:
        content = _cut(content, start, len(text))
        start = _place(content, text)
    return content


def _place(content: str, text: str) -> int | None:
    """Return where a line first stands in a content as one of its own."""
    begin = 0
    for physical in content.splitlines(keepends=True):
        end = 0
        for line in split_lines(physical):
            start = physical.index(line, end)
            if line == text:
                return begin + start
            end = start + len(line)
        begin += len(physical)
    return None


def _cut(content: str, start: int, length: int) -> str:
    before, after = content[:start], content[start + length :]
    line_start = before.rpartition("\n")[2]
    line_end = after.partition("\n")[0]
    if not line_start.strip() and not line_end.strip():
        # The whole line goes, with its indentation and its end.
        before = before[: len(before) - len(line_start)]
        after = after[len(line_end) + 1 :]
        return before + after if after else before.rstrip("\n")
    if not line_end.strip():
        return before.rstrip(" \t") + after
    return before + after.lstrip(" \t")


def _from_system(messages: list[Message], text: str) -> bool:
    changed = False
    for index, message in enumerate(messages):
        if message.role == "system" and (content := without_text(message.content, text)) is not None:
            messages[index] = replace(message, content=content)
            changed = True
    return changed


def _from_tools(tools: list[ToolSchema], line: Line, name: str) -> bool:
    for index, tool in enumerate(tools):
        if tool.name != name:
            continue
        if not line.text:
            del tools[index]
            return True
        if line.part == "description":
            description = without_text(tool.description, line.text)
            if description is None:
                return False
            tools[index] = replace(tool, description=description)
            return True
        parameters = _without_description(tool.parameters, line.part.removeprefix("parameter:"), line.text)
        if parameters is None:
            return False
        tools[index] = replace(tool, parameters=parameters)
        return True
    return False


def _without_description(parameters: Mapping[str, Any], name: str, text: str) -> dict[str, Any] | None:
    changed = deepcopy(dict(parameters))
    schema = changed.get("properties", {}).get(name)
    if not isinstance(schema, dict) or not isinstance(schema.get("description"), str):
        return None
    rest = without_text(schema["description"], text)
    if rest is None:
        return None
    if re.search(r"\S", rest):
        schema["description"] = rest
    else:
        del schema["description"]
    return changed


def _examples(messages: Sequence[Message]) -> list[int | None]:
    """Return each message's number of worked example, counted as segments count them."""
    numbers: list[int | None] = []
    count = 0
    for message in messages:
        if not message.example:
            numbers.append(None)
            continue
        if message.role == "user" or not numbers or numbers[-1] is None:
            count += 1
        numbers.append(count)
    return numbers
