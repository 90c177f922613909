"""Calls in ``<tool_call>{json}</tool_call>``: Hermes, Qwen2.5 and Qwen3, and the bundled template.

A call whose closing tag is missing counts if its JSON is complete: a model that stops at its
end-of-turn token has said all there is to say.
"""

from __future__ import annotations

from dataclasses import replace

from .call_object import guess_name, read_call
from .json_spans import JsonError, skip_space
from .pieces import InvalidCall, ParsedCall

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
FUNCTION = "<function="
"""What Qwen3-Coder has in these tags instead of JSON: see `tagged_parameters`."""


def scan(text: str, start: int, end: int) -> list[ParsedCall | InvalidCall]:
    """Find the calls in ``text[start:end]``, in order; none means it is not this format."""
    region = text[:end]
    found: list[ParsedCall | InvalidCall] = []
    position = region.find(OPEN, start)
    while position >= 0:
        call = _read(region, position)
        if call is not None:
            found.append(call)
        position = region.find(OPEN, call.end if call else position + len(OPEN))
    return found


def _read(text: str, tag: int) -> ParsedCall | InvalidCall | None:
    body = skip_space(text, tag + len(OPEN))
    if not text.startswith("{", body):
        close = text.find(CLOSE, body)
        if text.startswith(FUNCTION, body) or (body < len(text) and close < 0):
            return None  # another format's call, or the tag is only mentioned
        return _invalid(text, tag, body, "There is no JSON object in the tool call")
    try:
        call = read_call(text, body)
    except JsonError as error:
        return _invalid(text, tag, error.position, str(error))
    after = skip_space(text, call.end)
    if text.startswith(CLOSE, after):
        return replace(call, start=tag, end=after + len(CLOSE))
    close, following = text.find(CLOSE, after), text.find(OPEN, after)
    if close >= 0 and (following < 0 or close < following):
        return _invalid(text, tag, after, "There is something after the call's JSON object")
    return replace(call, start=tag)


def _invalid(text: str, tag: int, failure: int, error: str) -> InvalidCall:
    """Describe a failed attempt: up to its closing tag, else the next call, else the end.

    What lies before `failure` was well-formed, so tags in there are part of some string.
    """
    close = text.find(CLOSE, failure)
    following = text.find(OPEN, max(failure, tag + len(OPEN)))
    if close >= 0 and (following < 0 or close < following):
        end = close + len(CLOSE)
    else:
        end = following if following >= 0 else len(text)
    attempt = text[tag:end].rstrip()
    return InvalidCall(attempt, f"{error}.", tag, tag + len(attempt), guess_name(attempt))
