"""Words that every description of a review shares."""

from __future__ import annotations

from .lines import Line
from .observation import Kind

KIND_NAMES: dict[Kind, str] = {"tool": "tool choice", "argument": "arguments", "answer": "answers"}


def name_line(line: Line) -> str:
    """Return a line's words, or its place where it stands for a whole segment or a schema."""
    if line.text:
        return line.text
    return f"{line.segment} ({line.part})" if line.part else line.segment


def name_place(line: Line) -> str:
    """Return where a line stands."""
    return f"{line.segment} {line.part}".strip()


def short(text: str, limit: int) -> str:
    """Return a text on one line, cut to `limit` characters."""
    clean = " ".join(text.split())
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "…"
