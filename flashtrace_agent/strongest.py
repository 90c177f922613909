"""The few words that hold most of a text's score."""

from __future__ import annotations

from collections.abc import Sequence

_LIMIT = 3


def strongest_words(pieces: Sequence[str], scores: Sequence[float], limit: int = _LIMIT) -> list[str]:
    """Return the words with most of the score, in reading order.

    A word is a run of tokens without white space between them, so that “sof” + “as” reads “sofas”.

    Args:
        pieces: the text of each token of one segment.
        scores: their scores, one each.
        limit: how many words.
    """
    words: list[tuple[float, int, str]] = []
    for position, (piece, score) in enumerate(zip(pieces, scores, strict=True)):
        joined = position and not piece[:1].isspace() and not pieces[position - 1][-1:].isspace()
        if joined:
            before = words[-1]
            words[-1] = (before[0] + float(score), before[1], before[2] + piece)
        else:
            words.append((float(score), position, piece))
    words = [word for word in words if any(character.isalnum() for character in word[2])]
    strongest = sorted(words, key=lambda word: -word[0])[:limit]
    return [word[2].strip() for word in sorted(strongest, key=lambda word: word[1])]
