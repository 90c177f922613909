"""From the recognised strings of a call or schema to the whole of it."""

from __future__ import annotations

from flashtrace_agent.completion.json_spans import JsonError, read_value

from .markers import Range

_MAX_BRACES = 16
"""Opening braces before an object's first string that are tried as its beginning."""


def enclosing_object(text: str, hull: Range, low: int, high: int) -> Range:
    """Return the range of the JSON object around a range, the outermost within ``[low, high)``.

    Where the template writes no JSON, the range itself comes back.
    """
    best = hull
    brace = hull[0]
    for _ in range(_MAX_BRACES):
        brace = text.rfind("{", low, brace)
        if brace < 0:
            break
        try:
            value = read_value(text, brace)
        except JsonError:
            continue
        if isinstance(value.value, dict) and hull[1] <= value.end <= high:
            best = (brace, value.end)
    return best
