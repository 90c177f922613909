"""Check that full-text search knows the words of every message, and no others.

What the index holds is read word by word and not message by message, so both sides are summed up for
each message: a number a message, and no words, are kept in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from .check_rows import Problem
from .schema import MessageNumberRow
from .words import message_words

_TERMS = {
    "sqlite": text("SELECT term, doc FROM temp.words_by_message"),
    "postgresql": text("SELECT unnest(tsvector_to_array(words)), id FROM message_words ORDER BY 1"),
}


_PAGE = 10_000


class ExpectedWords:
    """What the index should hold; tell it of every message, then ask for the problems."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dialect = session.get_bind().dialect.name
        self._sums: dict[int, int] = {}
        self.is_complete = False
        """Set once every message has been told of; nothing is known of the index before."""

    def expect(self, number: int | None, body: Mapping[str, Any]) -> None:
        """Take in a message under its number in the index; None if it has none."""
        words = message_words(body)
        # SQLite may cut and fold characters that are newer than its tables in its own way.
        if number is not None and all(word.isascii() for word in words):
            self._sums[number] = sum(zlib.crc32(word.encode()) for word in words)

    def problems(self) -> Iterator[Problem]:
        """Yield the messages whose words the index does not hold, or holds others for."""
        if not self.is_complete:
            return
        if self._dialect == "sqlite":
            self._session.execute(
                text(
                    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words_by_message "
                    "USING fts5vocab(main, message_words, instance)"
                )
            )
        stored = select(MessageNumberRow.id).order_by(MessageNumberRow.id)
        numbers = np.fromiter(self._session.scalars(stored), np.int64)  # (n_messages,)
        found = np.zeros(len(numbers), np.uint64)  # (n_messages,)
        strangers: set[int] = set()
        terms = self._session.execute(_TERMS[self._dialect].execution_options(yield_per=_PAGE))
        for page in terms.partitions():
            values = np.array([zlib.crc32(term.encode()) for term, _ in page], np.uint64)  # (n_pairs,)
            of = np.array([number for _, number in page], np.int64)  # (n_pairs,)
            places = np.searchsorted(numbers, of)
            places[places == len(numbers)] = 0
            known = numbers[places] == of if len(numbers) else np.zeros(len(of), bool)
            np.add.at(found, places[known], values[known])
            strangers.update(of[~known].tolist())
        expected = np.array([self._sums.get(number, -1) for number in numbers.tolist()])
        for number in numbers[(expected >= 0) & (expected != found.astype(np.int64))].tolist():
            digest = self._session.scalar(
                select(MessageNumberRow.digest).where(MessageNumberRow.id == number)
            )
            yield Problem("messages", str(digest), "full-text search knows it by other words")
        for number in sorted(strangers):
            yield Problem("message_words", str(number), "it has words of a message that is not there")
