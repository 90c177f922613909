"""Attribute values, whatever type an instrumentation gave them.

The same thing comes as a structure, as JSON text, as JSON inside JSON or as Python's repr,
depending on the instrumentation and its version. These functions read all of them and never
raise; what cannot be read counts as absent.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any

from .complaints import COMPLAINTS

_MAX_COUNT = 1 << 53
"""A token count above this is nonsense."""

_MAX_LITERAL = 100_000
"""Characters of a Python repr that are parsed; its parser is slow and recursive."""

SAMPLING = ("temperature", "top_p", "top_k", "seed", "max_tokens", "stop", "max_completion_tokens")
"""Request parameters that are kept in a step's settings."""


def parsed(value: Any) -> Any:
    """Return a value with JSON text, even doubly encoded, undone; text that is no JSON as it is."""
    for _ in range(2):
        if not isinstance(value, str):
            break
        text = value.strip()
        if not text or text[0] not in '{["':
            break
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return _literal(text, value)
    return value


def plain_text(value: Any) -> str | None:
    """Return a text attribute, with the quotes of one that was JSON-encoded removed."""
    if isinstance(value, str) and value[:1] == '"':
        value = parsed(value)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) and value else None


def first_text(*values: Any) -> str | None:
    """Return the first value that is a text (see `plain_text`)."""
    return next((text for text in map(plain_text, values) if text), None)


def mapping(value: Any) -> dict[str, Any]:
    """Return an object, also one written as text; empty where the value is none."""
    found = parsed(value)
    return {str(key): item for key, item in found.items()} if isinstance(found, dict) else {}


def listing(value: Any) -> list[Any]:
    """Return a list, also one written as text; a single object as a list of one."""
    found = parsed(value)
    if isinstance(found, dict):
        return [found]
    return list(found) if isinstance(found, list | tuple) else []


def count(value: Any) -> int | None:
    """Return a token count; None where the value is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _MAX_COUNT else None


def usage(prompt: Any, completion: Any) -> dict[str, int]:
    """Return the reported token counts in the form a step keeps them."""
    counts = {"prompt_tokens": count(prompt), "completion_tokens": count(completion)}
    return {name: value for name, value in counts.items() if value is not None}


def sampling(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters among a request's parameters."""
    return {name: parameters[name] for name in SAMPLING if is_setting(parameters.get(name))}


def is_setting(value: Any) -> bool:
    """Tell whether a parameter says anything; for no limit Langfuse writes ``Infinity``, OpenLIT -1."""
    if isinstance(value, str):
        return value not in ("", "Infinity", "NaN", "None")
    return value not in (None, -1, []) and not (isinstance(value, float) and not math.isfinite(value))


def indexed(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return flattened lists of objects: ``prefix.0.a.b``, ``prefix.1.a.b`` … in order of the index.

    Each object maps what follows the index to the value. Missing indices are skipped.
    """
    found: dict[int, dict[str, Any]] = {}
    start = prefix + "."
    for key, value in attributes.items():
        if key.startswith(start):
            index, _, rest = key[len(start) :].partition(".")
            if index.isascii() and index.isdigit() and len(index) < 10:
                found.setdefault(int(index), {})[rest] = value
    return [found[index] for index in sorted(found)]


def prefixed(attributes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the attributes whose name begins with `prefix`, under the rest of their name."""
    return {key[len(prefix) :]: value for key, value in attributes.items() if key.startswith(prefix)}


def _literal(text: str, otherwise: Any) -> Any:
    """Return the object a Python repr describes."""
    if text[0] == '"':
        return otherwise
    if len(text) <= _MAX_LITERAL:
        try:
            return json.loads(json.dumps(ast.literal_eval(text)))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            COMPLAINTS.note("an attribute begins like JSON but is none", text[:80])
    return otherwise
