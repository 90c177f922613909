"""Calls written in Python: ``[get_weather(city="Paris"), now()]`` as the whole answer (Llama 3.2 and 4).

Llama 4 may put ``<|python_start|>`` and ``<|python_end|>`` around them. Arguments are named, their values are
literals, in Python's spelling or in JSON's (``true``, ``false``, ``null``).
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import replace
from itertools import accumulate
from typing import Any

from .json_spans import skip_space
from .pieces import InvalidCall, ParsedArgument, ParsedCall

OPEN = "<|python_start|>"
MAY_BEGIN = re.compile(r"\s*\[\s*(?:[A-Za-z_][\w.]*(?:\(|\Z)|\Z)")
"""What an answer that turns out to be such calls looks like while it is written."""

_CLOSE = "<|python_end|>"
_ATTEMPT = re.compile(r"\[\s*([A-Za-z_][\w.]*)\(\s*(?:\)|[A-Za-z_]\w*\s*=)")
_LINE = re.compile(rb"\r\n|\r|\n")
_QUOTE = re.compile(r"[A-Za-z]*(\"\"\"|'''|\"|')")
_JSON_CONSTANTS = {"true": True, "false": False, "null": None}

_FILENAME = "<tool calls>"
# Python warns of backslashes it would read otherwise in code; what a model writes is no code of ours.
warnings.filterwarnings("ignore", module=_FILENAME)


class _NotACallError(Exception):
    """The text is Python, but no list of calls; the message says why."""


def scan(text: str, start: int, end: int) -> list[ParsedCall | InvalidCall]:
    """Find the calls in ``text[start:end]``, in order; none means it is not this format."""
    first = skip_space(text[:end], start)
    body = skip_space(text[:end], first + len(OPEN)) if text.startswith(OPEN, first, end) else first
    attempt = _ATTEMPT.match(text, body, end)
    if attempt is None:
        return []
    closed = text.rfind(_CLOSE, body, end)
    stop = closed if closed >= 0 and not text[closed + len(_CLOSE) : end].strip() else end
    source = text[body:stop].rstrip()
    try:
        calls = _read(source, body)
    except _NotACallError as error:
        if first == body and "]" in source and not source.endswith("]"):
            return []  # an answer that begins with code
        return [InvalidCall(text[first:end], f"{error}.", first, end, attempt[1])]
    calls[-1] = replace(calls[-1], end=end if stop < end else calls[-1].end)
    return [replace(calls[0], start=first), *calls[1:]]


def _read(source: str, offset: int) -> list[ParsedCall]:
    """Read a list of calls that begins at a text's character `offset`; each reaches over what follows it."""
    try:
        tree = ast.parse(source, _FILENAME, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _NotACallError("The list of calls cannot be read as Python") from error
    if not isinstance(tree, ast.List):
        raise _NotACallError("There is something after the list of calls")
    places = _Places(source, offset)
    calls = [_read_call(node, places) for node in tree.elts]
    ends = [call.start for call in calls[1:]] + [offset + len(source)]
    return [replace(call, end=end) for call, end in zip(calls, ends, strict=True)]


class _Places:
    """Where a node stands: Python counts lines, and bytes within them."""

    def __init__(self, source: str, offset: int) -> None:
        self._bytes = source.encode()
        self._lines = [0, *(line.end() for line in _LINE.finditer(self._bytes))]
        widths = (1 if byte & 0xC0 != 0x80 else 0 for byte in self._bytes)
        self._characters = [*accumulate(widths, initial=offset)]
        self._offset = offset
        self._source = source

    def of(self, node: ast.expr) -> tuple[int, int]:
        """Return a node's range in the text."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def inner(self, node: ast.expr) -> tuple[int, int]:
        """Return a value's range in the text; a string's without its quotes."""
        start, end = self.of(node)
        quote = _QUOTE.match(self._source, start - self._offset) if isinstance(node, ast.Constant) else None
        return (start + len(quote[0]), end - len(quote[1])) if quote else (start, end)

    def written(self, node: ast.expr) -> str:
        start, end = self.of(node)
        return self._source[start - self._offset : end - self._offset]

    def _at(self, line: int, column: int) -> int:
        return self._characters[self._lines[line - 1] + column]


def _read_call(node: ast.expr, places: _Places) -> ParsedCall:
    if not isinstance(node, ast.Call) or not re.fullmatch(r"[A-Za-z_][\w.]*", places.written(node.func)):
        raise _NotACallError("The list holds something that is no call of a tool")
    spans = []
    for keyword in node.keywords:
        if keyword.arg is None:
            break
        spans.append(ParsedArgument(keyword.arg, _value(keyword.value), *places.inner(keyword.value)))
    if node.args or len(spans) < len(node.keywords):
        raise _NotACallError("The call's arguments are not of the form name=value")
    arguments = {span.name: span.value for span in spans}
    if len(arguments) < len(spans):
        raise _NotACallError("An argument is given twice")
    start, end = places.of(node)
    name_start, name_end = places.of(node.func)
    return ParsedCall(
        name=places.written(node.func),
        arguments=arguments,
        start=start,
        end=end,
        name_start=name_start,
        name_end=name_end,
        body_start=start,
        body_end=end,
        argument_spans=tuple(spans),
    )


def _value(node: ast.expr) -> Any:
    """Return a literal's value, as JSON knows it."""
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id=name) if name in _JSON_CONSTANTS:
            return _JSON_CONSTANTS[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _value(value) for key, value in zip(keys, values, strict=True)}
    raise _NotACallError("An argument's value is no literal")


def _key(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str() as key):
            return key
    raise _NotACallError("An object in an argument has a name that is no text")
