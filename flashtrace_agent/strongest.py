"""The few words that hold most of a segment's score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LIMIT = 3

Stretch = tuple[Sequence[str], Sequence[float]]
"""The text and the score of each token of a contiguous stretch."""


def strongest_words(stretches: Iterable[Stretch], limit: int = _LIMIT) -> str:
    """Return the words with most of the score, in reading order, with spaces between them.

    A word is a run of tokens without white space between them, so that “sof” + “as” reads “sofas”.

    Args:
        stretches: where the segment lies in the sequence; words do not reach across.
        limit: how many words.
    """
    words: list[list[tuple[str, float]]] = []
    for pieces, scores in stretches:
        before = " "
        for piece, score in zip(pieces, scores, strict=True):
            if before[-1:].isspace() or piece[:1].isspace():
                words.append([])
            words[-1].append((piece, float(score)))
            before = piece or before
    ranked: list[tuple[float, int, str]] = []
    for position, word in enumerate(words):
        text = "".join(piece for piece, _ in word).strip()
        if any(character.isalnum() for character in text):
            ranked.append((sum(score for _, score in word), position, text))
    strongest = sorted(ranked, key=lambda word: -word[0])[:limit]
    return " ".join(text for _, _, text in sorted(strongest, key=lambda word: word[1]))
