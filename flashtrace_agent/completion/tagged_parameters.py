"""Calls in ``<function=NAME><parameter=KEY>value</parameter></function>``: Qwen3-Coder and later Qwens.

They stand in ``<tool_call>`` tags, which these models may forget. A value is text as it is, without the
line breaks next to its tags; one that is a JSON object or list is read as that.
"""

from __future__ import annotations

import re
from typing import Any

from . import hermes
from .json_spans import JsonError, read_value, skip_space
from .pieces import InvalidCall, ParsedArgument, ParsedCall

OPEN = hermes.FUNCTION

_CLOSE = "</function>"
_HEAD = re.compile(r"<function=([^>\s]+)>")
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>\n?")
_VALUE_END = re.compile(r"\n?</parameter>(?=\s*(?:<parameter=|</function>|\Z))")


def scan(text: str, start: int, end: int) -> list[ParsedCall | InvalidCall]:
    """Find the calls in ``text[start:end]``, in order; none means it is not this format."""
    region = text[:end]
    found: list[ParsedCall | InvalidCall] = []
    done = start
    head = _HEAD.search(region, start)
    while head is not None:
        following = _HEAD.search(region, head.end())
        call = _read(region, done, head, following.start() if following else end)
        if call is not None:
            found.append(call)
            done = call.end
        head = following if following is None or following.start() >= done else _HEAD.search(region, done)
    return found


def _read(text: str, since: int, head: re.Match[str], stop: int) -> ParsedCall | InvalidCall | None:
    """Read the call that begins at `head`; None where its tag is only mentioned."""
    tag = text.rfind(hermes.OPEN, since, head.start())
    start = tag if tag >= 0 and not text[tag + len(hermes.OPEN) : head.start()].strip() else head.start()
    arguments: dict[str, ParsedArgument] = {}
    position = head.end()
    while parameter := _PARAMETER.match(text, position, stop):
        close = _VALUE_END.search(text, parameter.end(), stop)
        if close is None:
            return _invalid(text, start, stop, head[1], "A parameter has no closing tag.")
        value = _value(text, parameter.end(), close.start())
        arguments[parameter[1]] = ParsedArgument(parameter[1], value, parameter.end(), close.start())
        position = close.end()
    close_at = skip_space(text, position)
    if not text.startswith(_CLOSE, close_at):
        if not arguments and _CLOSE not in text[position:stop]:
            return None
        return _invalid(text, start, stop, head[1], "The function has no closing tag after its parameters.")
    body_end = close_at + len(_CLOSE)
    after = skip_space(text, body_end)
    return ParsedCall(
        name=head[1],
        arguments={argument.name: argument.value for argument in arguments.values()},
        start=start,
        end=after + len(hermes.CLOSE) if text.startswith(hermes.CLOSE, after) else body_end,
        name_start=head.start(1),
        name_end=head.end(1),
        body_start=head.start(),
        body_end=body_end,
        argument_spans=tuple(arguments.values()),
    )


def _value(text: str, start: int, end: int) -> Any:
    written = text[start:end]
    if written[:1] in ("{", "["):
        try:
            located = read_value(written, 0)
        except JsonError:
            return written
        return located.value if located.end == len(written) else written
    return written


def _invalid(text: str, start: int, stop: int, name: str, error: str) -> InvalidCall:
    attempt = text[start:stop].rstrip().removesuffix(hermes.OPEN).rstrip()
    return InvalidCall(attempt, error, start, start + len(attempt), name)
