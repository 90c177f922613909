"""Cut the text of a step's prompt into lines, the pieces a review judges.

A line is a line of text; one that holds several sentences is cut into them. A tool's schema is cut into
its name, its description, each parameter's description and the schema around them; a worked example
into its messages. A line is known by its content, so the same line is the same in every step and trace.

A token belongs to the line that has its first visible character, and a token of white space to the line
before it. Tokens of the chat template belong to no line.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.segment import Segment

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[`*]*[A-Z0-9À-Þ])|(?<=[。！？])")
_SHORTEST_SENTENCE = 3
"""Words; shorter pieces, as the number of a list's item, stay with the next one."""

_INSTRUCTIONS = ("system", "tool_schema:", "example:")


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One line of a prompt.

    Attributes:
        segment: the segment it stands in: ``system``, ``tool_schema:get_price``, ``example:1``, ``user``,
            ``tool_result:ID``, …
        part: where in it: ``name``, ``description``, ``parameter:item`` or ``schema`` of a tool; ``user``,
            ``reasoning``, ``call``, ``result`` or ``answer`` of an example; otherwise empty.
        text: the words; empty for a segment as a whole.
    """

    segment: str
    part: str
    text: str

    @property
    def is_instruction(self) -> bool:
        """True for what the owner of the prompt wrote: system prompt, tool schemas, examples."""
        return is_instruction(self.segment)


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines of one step's prompt.

    Attributes:
        lines: in order of their first token.
        line_of_token: int32 (n_tokens,), index into `lines`; -1 for the template and the completion.
        lengths: int64 (n_lines,), tokens of each line.
    """

    lines: tuple[Line, ...]
    line_of_token: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]

    @property
    def owned(self) -> npt.NDArray[np.bool_]:
        """True for the lines that the prompt's owner wrote, bool (n_lines,)."""
        return np.array([line.is_instruction for line in self.lines], dtype=bool)


def is_instruction(segment: str) -> bool:
    """Tell whether a segment is the prompt owner's: system prompt, a tool's schema or a worked example."""
    return segment.startswith(_INSTRUCTIONS)


def stands_in(line: Line, lines: Collection[Line]) -> bool:
    """Tell whether a line, or the whole segment it stands for, is among a prompt's lines."""
    if line.text or line.part:
        return line in lines
    return any(other.segment == line.segment for other in lines)


def lay_out(
    messages: Sequence[Message],
    tools: Sequence[ToolSchema],
    segments: Sequence[Segment],
    tokens: Sequence[str],
) -> Layout:
    """Cut a step's prompt into lines.

    Args:
        messages: the step's input, whose places `Segment.message` names.
        tools: the tools on offer.
        segments: as an attribution has them; those of the completion are passed over.
        tokens: text of each token (n_tokens,).
    """
    schemas = {tool.name: tool for tool in tools}
    numbers: dict[Line, int] = {}
    line_of_token = np.full(len(tokens), -1, np.int32)
    for segment in segments:
        if segment.message == -1 or segment.name == "template":
            continue
        pieces = tuple(tokens[segment.span.start : segment.span.end])
        message = None
        if segment.message is not None and 0 <= segment.message < len(messages):
            message = messages[segment.message]
        for start, end, part, text in _cut_segment(segment.name, pieces, message, schemas):
            line = Line(segment.name, part, text)
            number = numbers.setdefault(line, len(numbers))
            line_of_token[segment.span.start + start : segment.span.start + end] = number
    counts = np.bincount(line_of_token[line_of_token >= 0], minlength=len(numbers))
    return Layout(tuple(numbers), line_of_token, counts.astype(np.int64))


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, those of several sentences cut into them; empty ones are left out."""
    found: list[str] = []
    for line in map(str.strip, text.splitlines()):
        start = 0
        ends = [match.start() for match in _SENTENCE_END.finditer(line)]
        for end in [*ends, len(line)]:
            sentence = line[start:end].strip()
            if end == len(line) or not sentence.isascii() or len(sentence.split()) >= _SHORTEST_SENTENCE:
                found.append(sentence)
                start = end
    return [line for line in found if line]


Cut = tuple[int, int, str, str]
"""Start and end in tokens of the segment, part, text."""


def _cut_segment(
    name: str, pieces: tuple[str, ...], message: Message | None, schemas: Mapping[str, ToolSchema]
) -> tuple[Cut, ...]:
    if name.startswith("tool_schema:"):
        tool = schemas.get(name.removeprefix("tool_schema:"))
        wanted = tuple(_schema_parts(tool)) if tool is not None else ()
        return _cut_schema(pieces, wanted)
    if name.startswith("example:") and message is not None:
        part = _example_part(message, "".join(pieces))
        return _cut_text(pieces, message.content if part in ("user", "result", "answer") else None, part)
    return _cut_text(pieces, message.content if message is not None else None, "")


def _example_part(message: Message, text: str) -> str:
    if message.role != "assistant":
        return "result" if message.role == "tool" else message.role
    if message.reasoning and text.strip() == message.reasoning.strip():
        return "reasoning"
    return "answer" if text.strip() == message.content.strip() else "call"


@lru_cache(maxsize=4096)
def _cut_text(pieces: tuple[str, ...], source: str | None, part: str) -> tuple[Cut, ...]:
    """Cut running text; the source's wording is preferred, for tokens may hold parts of characters."""
    joined = "".join(pieces)
    texts = split_lines(source if source and part != "call" else joined)
    starts: list[tuple[int, str]] = []
    position = 0
    for text in texts:
        found = _find(joined, text, position)
        if found is None:
            continue
        starts.append((found[0], text))
        position = found[1]
    if not starts:
        starts = [(0, joined.strip())]
    starts[0] = (0, starts[0][1])
    bounds = [start for start, _ in starts]
    owners = [max(bisect_right(bounds, anchor) - 1, 0) for anchor in _anchors(pieces)]
    return tuple((start, end, part, starts[owner][1]) for owner, start, end in _runs(owners))


@lru_cache(maxsize=4096)
def _cut_schema(pieces: tuple[str, ...], wanted: tuple[tuple[str, str], ...]) -> tuple[Cut, ...]:
    """Cut a tool's schema into the wanted parts, found in their order, and the rest."""
    joined = "".join(pieces)
    ranges: list[tuple[int, int, str, str]] = []
    position = 0
    for part, text in wanted:
        found = next(
            (hit for printed in _printed(text) if (hit := _find(joined, printed, position)) is not None), None
        )
        if found is not None:
            ranges.append((*found, part, text))
            position = found[1]
    owners: list[int] = []
    for anchor in _anchors(pieces):
        owners.append(next((i for i, (start, end, *_) in enumerate(ranges) if start <= anchor < end), -1))
    return tuple(
        (start, end, *((ranges[owner][2], ranges[owner][3]) if owner >= 0 else ("schema", "")))
        for owner, start, end in _runs(owners)
    )


def _schema_parts(tool: ToolSchema) -> Iterator[tuple[str, str]]:
    yield "name", tool.name
    for line in split_lines(tool.description):
        yield "description", line
    properties = tool.parameters.get("properties")
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        description: Any = schema.get("description") if isinstance(schema, Mapping) else None
        for line in split_lines(description) if isinstance(description, str) else ():
            yield f"parameter:{name}", line


def _printed(text: str) -> tuple[str, ...]:
    """Return how a template may print a text: as it is, or inside JSON."""
    return text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]


def _find(joined: str, text: str, position: int) -> tuple[int, int] | None:
    """Find a text; a character that is spread over tokens is U+FFFD in each of them."""
    start = joined.find(text, position)
    if start >= 0:
        return start, start + len(text)
    if "\ufffd" not in joined or text.isascii():
        return None
    pattern = "".join(re.escape(c) if c.isascii() else f"(?:{re.escape(c)}|\ufffd{{1,4}})" for c in text)
    match = re.compile(pattern).search(joined, position)
    return None if match is None else match.span()


def _anchors(pieces: Sequence[str]) -> Iterator[int]:
    """Yield where each token's first visible character is in the joined text."""
    for piece, start in zip(pieces, accumulate(map(len, pieces), initial=0), strict=False):
        yield start + len(piece) - len(piece.lstrip()) if piece.strip() else start


def _runs(owners: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield owner, start and end of each run of equal owners."""
    start = 0
    for position in range(1, len(owners) + 1):
        if position == len(owners) or owners[position] != owners[start]:
            yield owners[start], start, position
            start = position
