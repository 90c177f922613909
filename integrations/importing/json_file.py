"""Read a file of JSON values whole, within bounds."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .imported import ImportFileError

MAX_BYTES = 512 << 20
"""Largest file that is read, decompressed: all of it is held in memory."""

_GZIP = b"\x1f\x8b"
_PAGE_KEYS = ("data", "spans")
"""Keys under which an API's answer holds its items."""


def read_values(path: Path) -> list[Mapping[str, Any]]:
    """Return the JSON objects of a file: one document, an array, an API's page, or one a line.

    Raises:
        ImportFileError: if it cannot be read, is too large, cut short, or holds no object.
    """
    text = _text(path)
    try:
        values = _unwrapped(json.loads(text))
    except RecursionError as error:
        raise ImportFileError(f"{path} is nested too deeply to be a trace.") from error
    except ValueError:
        values = [item for value in _lines(path, text) for item in _unwrapped(value)]
    if not values:
        raise ImportFileError(f"{path} holds nothing to import.")
    if not all(isinstance(value, Mapping) for value in values):
        raise ImportFileError(f"{path} holds JSON that is no trace: give a file of objects.")
    return values


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImportFileError(f"{path} cannot be read ({reason}): check the file.") from error
    if len(content) > MAX_BYTES:
        raise ImportFileError(f"{path} is larger than {MAX_BYTES >> 20} MB: export it in parts.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{path} is no UTF-8 text: give a JSON or JSON Lines file.") from error


def _lines(path: Path, text: str) -> list[Any]:
    values: list[Any] = []
    lines = text.split("\n")  # and at nothing else: JSON texts may hold other line separators
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except RecursionError as error:
            raise ImportFileError(f"Line {number} of {path} is nested too deeply to be a trace.") from error
        except ValueError as error:
            what = "was cut short" if values else "is no JSON"
            raise ImportFileError(
                f"{path} {what}: line {number} cannot be read ({error}), so export it again."
            ) from error
    return values


def _unwrapped(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    for key in _PAGE_KEYS:
        if isinstance(value, dict) and isinstance(value.get(key), list):
            items: list[Any] = value[key]
            return items
    return [value]
