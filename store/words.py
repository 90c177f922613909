"""The words of a text, as full-text search knows them.

Both the index and the search cut text here and not in the database, so that a word is the same
thing on SQLite and on PostgreSQL: a run of letters and digits, without accents, in lower case. In
scripts without spaces each character is a word.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

_WORD = re.compile(
    # Chinese, Japanese kana, Thai, Lao, Khmer, Burmese: one character at a time.
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"
    r"|[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
)
_LONGEST = 64
"""Characters of a word that count; what is longer is data, not speech."""

_SEARCHED = 250_000
"""Characters of a message that are searched: PostgreSQL takes no more than a megabyte of words."""

_ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)")


def words_of(text: str) -> list[str]:
    """Return the distinct words of `text`, sorted."""
    return sorted({word[:_LONGEST] for word in _WORD.findall(_fold(text)) if word.isalnum()})


def word_places(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where each word stands in `text` (start, end), and the word as the index knows it.

    A character that unfolds into several words gives only the first.
    """
    for match in _WORD.finditer(text):
        words = _WORD.findall(_fold(match[0]))
        if words:
            yield match.start(), match.end(), words[0][:_LONGEST]


def message_words(body: Mapping[str, Any]) -> list[str]:
    """Return the words of a message as stored, as far as it is searched."""
    return words_of("\n".join(text for _, text in message_parts(body))[:_SEARCHED])


def message_parts(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a message says: ``content``, ``reasoning`` and each ``tool_call``, with its text."""
    yield "content", body.get("content") or ""
    yield "reasoning", body.get("reasoning") or ""
    for call in body.get("tool_calls", ()):
        arguments = call["arguments"]
        if not isinstance(arguments, str):
            # Without escapes: the n of an escaped line break is no part of the word after it.
            written = json.dumps(arguments, ensure_ascii=False)
            arguments = _ESCAPE.sub(lambda escape: escape[1] if escape[1] in '"\\' else "\n", written)
        yield "tool_call", f"{call['name']} {arguments}"


def _fold(text: str) -> str:
    folded = text.casefold()
    if folded.isascii():
        return folded
    return "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
