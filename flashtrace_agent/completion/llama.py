"""Llama-3.1's calls: JSON as the whole answer, or anything after ``<|python_tag|>``.

``{"name": …, "parameters": {…}}`` is a call only where it is the whole answer (several may be
separated by semicolons); any other JSON is an answer that happens to be JSON. After the tag
there is a call in every case: such JSON, or a built-in's ``brave_search.call(query="…")``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .call_object import guess_name, has_arguments, read_call
from .json_spans import JsonError, read_members, read_value, skip_space
from .pieces import InvalidCall, ParsedArgument, ParsedCall

TAG = "<|python_tag|>"

_BUILTIN = re.compile(r"([A-Za-z_][\w.-]*)\.call\(")
_KEYWORD = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*")
_CONSTANTS = {"True": True, "False": False, "None": None}
_CONSTANT = re.compile(r"(True|False|None)\b")
_ATTEMPT = re.compile(
    r'\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"[^"]*"\s*,\s*"(?:parameters|arguments)"\s*:'
)


def scan(text: str, start: int, end: int) -> list[ParsedCall | InvalidCall]:
    """Find the calls in ``text[start:end]``, in order; none means it is not this format."""
    region = text[:end]
    body = skip_space(region, start)
    tagged = not region.startswith("{", body)
    if tagged:
        tag = region.find(TAG, start)
        if tag < 0:
            return []
        body = skip_space(region, tag + len(TAG))
    first = tag if tagged else body
    try:
        builtin = _BUILTIN.match(region, body) if tagged else None
        calls = [_read_builtin(region, builtin)] if builtin else _read_objects(region, body, tagged=tagged)
    except JsonError as error:
        if not tagged and not _is_broken_call(region, body):
            return []
        attempt = region[first:]
        name = builtin.group(1) if builtin else guess_name(attempt)
        return [InvalidCall(attempt, f"{error}.", first, end, name)]
    return [replace(calls[0], start=first), *calls[1:]]


def _is_broken_call(text: str, position: int) -> bool:
    """Tell whether JSON that is not well-formed was going to be a call, not an answer."""
    try:
        read_members(text, position)
    except JsonError:
        return _ATTEMPT.match(text, position) is not None
    return False


def _read_objects(text: str, position: int, *, tagged: bool) -> list[ParsedCall]:
    """Read calls separated by semicolons up to the text's end."""
    calls: list[ParsedCall] = []
    while True:
        call = read_call(text, position)
        if not tagged and not has_arguments(text, position):
            raise JsonError('The JSON object has no "parameters"', position)
        position = skip_space(text, call.end)
        if text.startswith(";", position):
            call = replace(call, end=position + 1)
            position = skip_space(text, position + 1)
        calls.append(call)
        if position >= len(text):
            return calls
        if not text.startswith("{", position):
            raise JsonError("There is something after the call's JSON object", position)


def _read_builtin(text: str, match: re.Match[str]) -> ParsedCall:
    """Read ``tool.call(name="value", …)`` up to the text's end."""
    arguments: dict[str, ParsedArgument] = {}
    position = skip_space(text, match.end())
    while not text.startswith(")", position):
        keyword = _KEYWORD.match(text, position)
        if not keyword:
            raise JsonError("The built-in call's arguments are not of the form name=value", position)
        value, start, stop, after = _read_literal(text, keyword.end())
        arguments[keyword.group(1)] = ParsedArgument(keyword.group(1), value, start, stop)
        position = skip_space(text, after)
        if text.startswith(",", position):
            position = skip_space(text, position + 1)
        elif not text.startswith(")", position):
            raise JsonError("The built-in call has no closing parenthesis", position)
    if skip_space(text, position + 1) < len(text):
        raise JsonError("There is something after the built-in call", position + 1)
    return ParsedCall(
        name=match.group(1),
        arguments={argument.name: argument.value for argument in arguments.values()},
        start=match.start(),
        end=position + 1,
        name_start=match.start(1),
        name_end=match.end(1),
        body_start=match.start(),
        body_end=position + 1,
        argument_spans=tuple(arguments.values()),
    )


def _read_literal(text: str, position: int) -> tuple[Any, int, int, int]:
    """Read an argument's value: ``(value, start, end, position after it)``.

    The chat template writes strings in quotes without escaping them, so a string ends at the
    first quote that a comma or the closing parenthesis follows.
    """
    quote = text[position : position + 1]
    if quote in ('"', "'") and quote:
        closing = re.compile(quote + r"(?=\s*(?:\)\s*$|,\s*[A-Za-z_]\w*\s*=))").search(text, position + 1)
        if not closing:
            raise JsonError("A string in the built-in call has no closing quote", position)
        return text[position + 1 : closing.start()], position + 1, closing.start(), closing.end()
    constant = _CONSTANT.match(text, position)
    if constant:
        return _CONSTANTS[constant.group(1)], position, constant.end(), constant.end()
    located = read_value(text, position)
    return located.value, position, located.end, located.end
