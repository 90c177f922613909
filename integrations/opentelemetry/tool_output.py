"""What a tool's span holds: its arguments and its result, unwrapped from the framework's objects."""

from __future__ import annotations

import ast
import re
from typing import Any

from ..blocks import content_text
from .messages import is_message, read_said
from .reading import Reading
from .tool_calls import call_arguments
from .values import parsed, plain_text

_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_WRITTEN_MESSAGE = re.compile(
    rf"content=(?P<content>{_TEXT}) .*?tool_call_id=(?P<id>{_TEXT})(?P<failed>.* status='error')?", re.DOTALL
)
"""What LangChain's ``str(ToolMessage(…))`` is."""


def tool_reading(name: str, call_id: Any, arguments: Any, result: Any, **common: Any) -> Reading:
    """Return what a tool's span says; see `take_arguments` and `take_result`."""
    reading = Reading("tool", name, call_id=plain_text(call_id), **common)
    take_arguments(reading, arguments)
    take_result(reading, result)
    return reading


def take_result(reading: Reading, value: Any) -> None:
    """Give a tool's reading its result: the text the model is shown, the call's id, its failure.

    A LangChain tool returns a ToolMessage, which is unwrapped, also from LangChain.js' ``output``; anything
    else is kept as it is.
    """
    if value is None:
        return
    found = parsed(value)
    if isinstance(found, dict) and set(found) == {"output"} and is_message(found["output"]):
        found = found["output"]
    if is_message(found):
        said = read_said(found, "tool")
        message = said[-1].message if said else None
        if message is not None and message.role == "tool":
            reading.call_id = reading.call_id or message.tool_call_id
            reading.result = message.content
            reading.failed = reading.failed or message.status == "error"
            return
    if isinstance(value, str) and _take_written_message(reading, value):
        return
    # Text stays letter for letter: what the tool returned, not a re-serialised copy.
    reading.result = value if isinstance(value, str) else content_text(found)


def _take_written_message(reading: Reading, text: str) -> bool:
    """Do as `take_result` for the text LangChain makes of a ToolMessage; tell whether it is one."""
    written = _WRITTEN_MESSAGE.match(text)
    if written is None:
        return False
    try:
        content, call_id = ast.literal_eval(written["content"]), ast.literal_eval(written["id"])
    except (ValueError, SyntaxError):
        return False  # a tool's own words, which begin alike
    reading.result = content
    reading.call_id = reading.call_id or call_id
    reading.failed = reading.failed or written["failed"] is not None
    return True


def take_wrapped_result(reading: Reading, value: Any) -> None:
    """Do as `take_result` for a result that stands under ``output``."""
    found = parsed(value)
    if isinstance(found, dict) and "output" in found:
        take_result(reading, found["output"])
    elif found not in ({}, None):
        take_result(reading, value)


def take_arguments(reading: Reading, value: Any) -> None:
    """Give a tool's reading its arguments; decorators write them as ``{"args": [], "kwargs": {…}}``."""
    found = parsed(value)
    if isinstance(found, dict) and set(found) <= {"args", "kwargs"} and not found.get("args"):
        value = found.get("kwargs", value)
    if value is not None:
        reading.arguments = call_arguments(value)
