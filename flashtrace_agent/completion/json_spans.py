"""JSON objects with the place of every member's value.

The standard library's scanner does the parsing; this module walks the outermost level of an
object itself, which is all a tool call needs: where its name and each of its arguments are.
A closing tag inside a string is thereby never mistaken for the end of a call.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonError(ValueError):
    """The text is not the JSON that was expected.

    Attributes:
        position: how far the text was well-formed, in characters.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Located:
    """A JSON value and its range; `start` and `end` include a string's quotes."""

    value: Any
    start: int
    end: int

    @property
    def inner(self) -> tuple[int, int]:
        """The range of what the value says: a string's without its quotes."""
        return (self.start + 1, self.end - 1) if isinstance(self.value, str) else (self.start, self.end)


def skip_space(text: str, position: int) -> int:
    """Return the first position from `position` on that holds no JSON whitespace."""
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


# strict=False: models write raw line breaks inside strings, and everyone accepts them.
_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


def _without_lone_surrogates(value: Any) -> Any:
    """Replace half characters (a lone ``\\ud83d``), which no UTF-8 store or tokenizer can take."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("�", value)
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(item) for key, item in value.items()}
    return value


def read_value(text: str, position: int) -> Located:
    """Read the JSON value that begins at `position`.

    Raises:
        JsonError: if there is none.
    """
    try:
        value, end = _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise JsonError(f"The JSON is not well-formed ({error.msg})", error.pos) from error
    except RecursionError as error:
        raise JsonError("The JSON is nested too deeply", position) from error
    except ValueError as error:  # NaN, or a number with thousands of digits
        raise JsonError(f"The JSON is not well-formed ({error})", position) from error
    return Located(_without_lone_surrogates(value), position, end)


def read_members(text: str, position: int) -> tuple[dict[str, Located], int]:
    """Read the JSON object that begins at `position`.

    Returns:
        Its members with their places, and the position after the closing brace. Of members
        with the same name the last counts, as everywhere in Python.

    Raises:
        JsonError: if there is no well-formed object.
    """
    if not text.startswith("{", position):
        raise JsonError("The JSON is not well-formed (Expecting an object)", position)
    members: dict[str, Located] = {}
    position = skip_space(text, position + 1)
    if text.startswith("}", position):
        return members, position + 1
    while True:
        if not text.startswith('"', position):
            raise JsonError("The JSON is not well-formed (Expecting a name in double quotes)", position)
        key = read_value(text, position)
        position = skip_space(text, key.end)
        if not text.startswith(":", position):
            raise JsonError("The JSON is not well-formed (Expecting ':' delimiter)", position)
        member = read_value(text, skip_space(text, position + 1))
        members.pop(key.value, None)
        members[key.value] = member
        position = skip_space(text, member.end)
        if text.startswith("}", position):
            return members, position + 1
        if not text.startswith(",", position):
            raise JsonError("The JSON is not well-formed (Expecting ',' delimiter)", position)
        position = skip_space(text, position + 1)


_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.S
)


def string_positions(text: str, start: int, end: int) -> list[int]:
    """Map the characters of a JSON string to its source.

    Args:
        text: the source.
        start: the range inside the quotes of a well-formed JSON string begins here.
        end: and ends here.

    Returns:
        For each character of the decoded string the position where it is written, and `end`
        as one more entry.
    """
    positions: list[int] = []
    while start < end:
        positions.append(start)
        match = _ESCAPE.match(text, start, end) if text[start] == "\\" else None
        start = match.end() if match else start + 1
    return [*positions, end]
