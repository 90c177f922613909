"""Which lines of two versions of a prompt are the same line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from .lines import Line

_SIMILAR = 0.6
"""Lines of one segment this alike are the same line, reworded."""


def paired(before: Sequence[Line], after: Sequence[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """Pair lines by content, then what is left of a segment by likeness."""
    new = [line for line in after if line not in set(before)]
    for line in before:
        if line in set(after):
            yield line, line
            continue
        rivals = [(_likeness(line, other), other) for other in new]
        likeness, other = max(rivals, default=(0.0, None), key=lambda pair: pair[0])
        if other is not None and likeness >= _SIMILAR:
            new.remove(other)
            yield line, other
        else:
            yield line, None
    for line in new:
        yield None, line


def _likeness(line: Line, other: Line) -> float:
    if (line.segment, line.part) != (other.segment, other.part):
        return 0.0
    return SequenceMatcher(None, line.text, other.text, autojunk=False).ratio()
