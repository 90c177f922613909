"""The exact text of a token sequence, and where each token lies in it.

Tokenizing a text again need not give the ids a model was given, so nothing here tokenizes:
each id is looked up as the bytes it stands for, the bytes are joined and decoded, and
characters and tokens are mapped to each other through byte positions. A character whose bytes
are spread over several tokens belongs to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flashtrace_agent.span import Span

from .token_bytes import token_bytes


class TokenText:
    """The text of a token sequence.

    Attributes:
        n_tokens: the number of tokens.
        text: the whole sequence decoded, special tokens written out, bytes that are no UTF-8
            as U+FFFD.
    """

    def __init__(self, tokenizer: Any, ids: Sequence[int]) -> None:
        """Look up the text of `ids`.

        Args:
            tokenizer: the transformers tokenizer they belong to.
            ids: the token ids, in order.
        """
        self._bytes = token_bytes(tokenizer, ids)
        self.n_tokens = len(self._bytes)
        joined = b"".join(self._bytes)
        self.text, self._char_start = _decode(joined)
        lengths = np.fromiter(map(len, self._bytes), dtype=np.int64, count=self.n_tokens)
        self._token_start = np.concatenate([[0], np.cumsum(lengths)])  # (n_tokens + 1,) in bytes

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The text of each token for display; part of a character shows as U+FFFD."""
        return tuple(part.decode("utf-8", "replace") for part in self._bytes)

    def span(self, start_char: int, end_char: int) -> Span:
        """Return the smallest token span that covers ``text[start_char:end_char]``.

        An empty range gives an empty span. Positions beyond the text are taken as its end.

        Raises:
            ValueError: if the range is negative or reversed.
        """
        if not 0 <= start_char <= end_char:
            raise ValueError(f"[{start_char}, {end_char}) is not a range of characters.")
        length = len(self.text)
        start_byte = self._char_start[min(start_char, length)]
        end_byte = self._char_start[min(end_char, length)]
        # A token without bytes is covered only by a range around it.
        start = min(int(np.searchsorted(self._token_start[1:], start_byte, side="right")), self.n_tokens)
        if start_byte >= end_byte:
            return Span(start, start)
        return Span(start, int(np.searchsorted(self._token_start[:-1], end_byte, side="left")))


def _decode(joined: bytes) -> tuple[str, npt.NDArray[np.int64]]:
    """Decode bytes that may not be UTF-8.

    Returns:
        The text, as ``joined.decode("utf-8", "replace")``, and the byte position of each of
        its characters with the total as one more entry, int64 (n_chars + 1,).
    """
    text = joined.decode("utf-8", "surrogateescape")
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    escaped = (points >= 0xDC80) & (points <= 0xDCFF)  # one code point for one bad byte
    lengths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    lengths[escaped] = 1
    if escaped.any():
        text, lengths = _replace_escaped(text, lengths, np.flatnonzero(escaped))
    return text, np.concatenate([[0], np.cumsum(lengths)])


def _replace_escaped(
    text: str, lengths: npt.NDArray[np.int64], escaped: npt.NDArray[np.int64]
) -> tuple[str, npt.NDArray[np.int64]]:
    """Turn escaped bad bytes into U+FFFD, one for each truncated character as decoders do."""
    parts: list[str] = []
    kept = np.ones(len(text), dtype=bool)
    lengths = lengths.copy()
    done = 0
    for position in escaped.tolist():
        if position < done:
            continue  # a further byte of a truncated character
        # No character has more than four bytes, so the window shows all of the truncated one.
        window = text[position : position + 4].encode("utf-8", "surrogateescape")
        length = 1
        try:
            window.decode("utf-8")
        except UnicodeDecodeError as error:
            length = error.end - error.start
        parts += [text[done:position], "�"]
        lengths[position] = length
        kept[position + 1 : position + length] = False
        done = position + length
    parts.append(text[done:])
    return "".join(parts), lengths[kept]
