"""Carry scores from a message in a later prompt to the tokens its author wrote.

The same words may be other tokens there: histories are rendered anew, with other spacing in
arguments, and cut differently next to the template's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

Mass = npt.NDArray[np.float64]

_ALIGNED = 1500
"""Longest stretch that is aligned token by token; comparing takes quadratic time at worst."""


def carry(mass: Mass, read: Sequence[int], written: Sequence[int]) -> Mass:
    """Return the mass of each written token, float64 (W,), with the sum of `mass`.

    Args:
        mass: float64 (R,), of each token as it was read in the later prompt.
        read: their ids (R,).
        written: ids of the tokens as they were written (W,), W ≥ 1.

    Equal tokens keep their mass. That of a stretch that was written differently is spread evenly
    over what stands in its place, or goes to the token before it where nothing does.
    """
    carried = np.zeros(len(written))
    if list(read) == list(written):
        return np.asarray(mass, dtype=np.float64).copy()
    for start, end, first, last in _stretches(read, written):
        if end - start == last - first and list(read[start:end]) == list(written[first:last]):
            carried[first:last] += mass[start:end]
        elif last > first:
            carried[first:last] += mass[start:end].sum() / (last - first)
        else:
            carried[max(first - 1, 0)] += mass[start:end].sum()
    return carried


def _stretches(read: Sequence[int], written: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return ``(start, end, first, last)``: ``read[start:end]`` stands for ``written[first:last]``."""
    shorter = min(len(read), len(written))
    head = 0
    while head < shorter and read[head] == written[head]:
        head += 1
    tail = 0
    while tail < shorter - head and read[-1 - tail] == written[-1 - tail]:
        tail += 1
    ends = len(read) - tail, len(written) - tail
    middle_read, middle_written = list(read[head : ends[0]]), list(written[head : ends[1]])
    middle = [(head, ends[0], head, ends[1])]
    if max(len(middle_read), len(middle_written)) <= _ALIGNED:
        matcher = SequenceMatcher(None, middle_read, middle_written, autojunk=False)
        middle = [
            (head + start, head + end, head + first, head + last)
            for _, start, end, first, last in matcher.get_opcodes()
        ]
    return [(0, head, 0, head), *middle, (ends[0], len(read), ends[1], len(written))]
