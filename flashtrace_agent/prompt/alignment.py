"""From places in the rendered prompt to places in the text of the ids a model was really given.

They are the same text where the prompt was rendered here. They differ where the tokenizer
normalises characters, or where another process rendered: another date, a prefilled
``<think>``, other spacing in JSON. Then, in this order:

1. the common beginning and end of both texts keep their places;
2. if the tokenizer's normaliser, applied between the leaves' edges, explains the difference,
   every place is known;
3. what is left is searched for, long strings first, between its neighbours.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .leaves import Leaf, Piece
from .markers import Range, common_prefix

_CONTEXT = 24
"""Characters of the rendered text around a leaf that are tried with it first."""

LONG = 16
"""From this length on a string is found by itself; shorter ones need word boundaries."""


def map_ranges(
    tokenizer: Any, rendered: str, actual: str, ranges: Sequence[Sequence[Range]]
) -> tuple[list[list[Range]], bool]:
    """Carry ranges of the rendered text over to the actual one.

    Returns:
        The ranges, without those that are lost; and whether the texts are the same up to
        normalisation and what is appended, so that nothing can be lost.
    """
    if actual.startswith(rendered):
        return [list(found) for found in ranges], True
    normalised = _map_through_normaliser(tokenizer, rendered, actual, ranges)
    if normalised is not None:
        return normalised, True
    head = common_prefix(rendered, actual)
    tail = common_prefix(rendered[head:][::-1], actual[head:][::-1])
    shift = len(actual) - len(rendered)
    mapped: list[list[Range]] = []
    for found in ranges:
        kept = [(start, end) for start, end in found if end <= head]
        kept += [(a + shift, b + shift) for a, b in found if b > head and a >= len(rendered) - tail]
        mapped.append(kept)
    return mapped, False


def _map_through_normaliser(
    tokenizer: Any, rendered: str, actual: str, ranges: Sequence[Sequence[Range]]
) -> list[list[Range]] | None:
    normaliser = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if normaliser is None:
        return None
    edges = sorted({0, len(rendered), *(edge for found in ranges for span in found for edge in span)})
    place = {0: 0}
    position = 0
    for start, end in pairwise(edges):
        chunk = str(normaliser.normalize_str(rendered[start:end]))
        if not actual.startswith(chunk, position):
            return None
        position += len(chunk)
        place[end] = position
    # More may follow: servers prefill the answer's beginning.
    return [[(place[start], place[end]) for start, end in found] for found in ranges]


def find_missing(
    tokenizer: Any,
    actual: str,
    pieces: Sequence[Piece],
    leaves: Sequence[Leaf],
    ranges: list[list[Range]],
    missing: Sequence[int],
    rendered: str,
    rendered_ranges: Sequence[Sequence[Range]],
) -> None:
    """Search the actual text for the leaves `missing` and enter what is found in `ranges`.

    Longer leaves come first, because they are found surely and narrow down the place of the
    others: a message lies between the messages before and after it, a tool's schema between
    its neighbours.
    """
    normaliser = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    taken = sorted(span for found in ranges for span in found)
    for index in sorted(missing, key=lambda index: -len(leaves[index].text)):
        leaf = leaves[index]
        low, high = _bounds(index, pieces, leaves, ranges, len(actual))
        shapes = _shapes(leaf.text, normaliser)
        contexts = [('"', '"'), ("", "")] if leaf.path[-1] == "name" else [("", "")]
        if rendered_ranges[index]:
            start, end = rendered_ranges[index][0]
            before, after = rendered[max(0, start - _CONTEXT) : start], rendered[end : end + _CONTEXT]
            contexts = [(before, after), (before, ""), ("", after), *contexts]
        for before, after in contexts:
            found = next(
                (span for shape in shapes if (span := _find(actual, shape, before, after, low, high, taken))),
                None,
            )
            if found:
                ranges[index].append(found)
                insort(taken, found)
                break


def _bounds(
    index: int, pieces: Sequence[Piece], leaves: Sequence[Leaf], ranges: list[list[Range]], length: int
) -> Range:
    """Return the range between a leaf's nearest located neighbours of its own kind."""

    def kind(other: int) -> bool:
        return pieces[leaves[other].piece].message is None

    low, high = 0, length
    for other in range(index - 1, -1, -1):
        if kind(other) != kind(index):
            break
        if ranges[other]:
            low = ranges[other][-1][1]
            break
    for other in range(index + 1, len(leaves)):
        if kind(other) != kind(index):
            break
        if ranges[other]:
            high = ranges[other][0][0]
            break
    return low, max(low, high)


def _shapes(text: str, normaliser: Any) -> list[str]:
    """Return the ways in which a template may print a string."""
    shapes = [text]
    if normaliser is not None:
        shapes.append(str(normaliser.normalize_str(text)))
    shapes += [json.dumps(text, ensure_ascii=plain)[1:-1] for plain in (False, True)]
    return list(dict.fromkeys(shape for shape in shapes if shape))


def _find(
    text: str, shape: str, before: str, after: str, low: int, high: int, taken: list[Range]
) -> Range | None:
    """Find a free place for a shape in ``text[low:high]``, with context that may lie outside."""
    whole = before + shape + after
    pattern = None
    if len(whole) < LONG:
        left = r"(?<!\w)" if whole[0].isalnum() else ""
        right = r"(?!\w)" if whole[-1].isalnum() else ""
        pattern = re.compile(left + re.escape(whole) + right)
    position = max(0, low - len(before))
    stop = min(len(text), high + len(after))
    while True:
        if pattern is not None:
            match = pattern.search(text, position, stop)
            at = match.start() if match else -1
        else:
            at = text.find(whole, position, stop)
        if at < 0:
            return None
        start = at + len(before)
        end = start + len(shape)
        blocking = _overlapping(taken, start, end)
        if blocking is None and low <= start and end <= high:
            return start, end
        position = at + 1 if blocking is None else max(at + 1, blocking[1] - len(before))


def _overlapping(taken: list[Range], start: int, end: int) -> Range | None:
    """Return a taken range that shares a character with ``[start, end)``."""
    at = bisect_left(taken, (start, -1))
    for other in taken[max(0, at - 1) : at + 1]:
        if other[0] < end and start < other[1]:
            return other
    return None
