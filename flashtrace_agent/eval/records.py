"""What has been finished, one JSON line each, so that an interrupted run goes on where it stopped.

A line of kind ``example`` says what became of a puzzle; one of kind ``score`` holds a method's outcome on
an example. Lines are only ever appended; one that was cut off by a crash is ignored and done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import FlashTraceError

Line = dict[str, Any]


class Records:
    """The lines of a results file, in memory by key and on disk."""

    def __init__(self, path: Path | None) -> None:
        """Read what the file holds; None keeps everything in memory only.

        Raises:
            FlashTraceError: if the file cannot be read or written.
        """
        self._path = path
        self._lines: dict[tuple[Any, ...], Line] = {}
        if path is None:
            return
        try:
            path.touch()
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise FlashTraceError(
                f"{path} cannot be used for results ({error.strerror}): choose another file."
            ) from error
        for line in text.split("\n"):
            try:
                data = json.loads(line)
            except ValueError:
                continue
            if isinstance(data, dict) and "kind" in data:
                self._lines[_key(data)] = data
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def example(self, model: str, task: str, seed: int) -> Line | None:
        """Return what became of a puzzle, or None if it has not been tried."""
        return self._lines.get(("example", model, task, seed, ""))

    def score(self, model: str, task: str, seed: int, method: str) -> Line | None:
        """Return a method's outcome on an example, or None."""
        return self._lines.get(("score", model, task, seed, method))

    def add(self, line: Line) -> None:
        """Keep a line, on disk at once."""
        self._lines[_key(line)] = line
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def of_kind(self, kind: str) -> Iterator[Line]:
        """Yield the lines of a kind, in the order they were first finished."""
        return (line for line in self._lines.values() if line["kind"] == kind)


def _key(line: Line) -> tuple[Any, ...]:
    return line["kind"], line["model"], line["task"], line["seed"], line.get("method", "")
