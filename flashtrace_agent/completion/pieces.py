"""The pieces of a completion. All positions are half-open character ranges in its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ParsedArgument:
    """One argument of a call.

    Attributes:
        name: the argument's name.
        value: its value.
        start: where the value begins in the text; for a string, just after its opening quote.
        end: where it ends; for a string, at its closing quote.
    """

    name: str
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A tool call that can be carried out, if the tool exists.

    Attributes:
        name: the tool's name as written.
        arguments: the parsed arguments; empty where the model left them out.
        start: where the call begins, its opening tag included.
        end: where it ends, its closing tag included.
        name_start: where the name begins, after its quote.
        name_end: where the name ends.
        body_start: where the call itself begins, without tags (the ``{`` of its JSON).
        body_end: where the call itself ends, without tags.
        argument_spans: each argument with the place of its value, in the order written.
    """

    name: str
    arguments: dict[str, Any]
    start: int
    end: int
    name_start: int
    name_end: int
    body_start: int
    body_end: int
    argument_spans: tuple[ParsedArgument, ...]


@dataclass(frozen=True, slots=True)
class InvalidCall:
    """Text that was meant as a tool call and is none.

    Attributes:
        text: the whole attempt, tags included: ``text[start:end]`` of the completion.
        error: what is wrong with it, in one sentence fit to be shown to the model.
        start: where the attempt begins.
        end: where it ends.
        name: the tool's name where it can still be read, else None.
    """

    text: str
    error: str
    start: int
    end: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion taken apart.

    Attributes:
        text: the whole text, special tokens included.
        reasoning: the reasoning without its tags and surrounding whitespace; None where there is none.
        reasoning_range: its place.
        answer: what is left for the user: the answer ranges joined by a line break.
        answer_ranges: the answer's places, each trimmed of surrounding whitespace.
        calls: the tool calls, in order.
        invalid_calls: the failed attempts at a tool call, in order.
    """

    text: str
    reasoning: str | None
    reasoning_range: tuple[int, int] | None
    answer: str
    answer_ranges: tuple[tuple[int, int], ...]
    calls: tuple[ParsedCall, ...]
    invalid_calls: tuple[InvalidCall, ...]


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Shrink a range of a text to exclude white space at its edges."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())
