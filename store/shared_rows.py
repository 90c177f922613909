"""Write the rows that many others share: chain links and documents, each once.

A write collects what it needs, asks the database in bulk which of it is there already, and inserts
the rest with one statement per table. What a process has seen stored it remembers, so that a
history re-sent at every step costs no question. The memory may be wrong where another process has
deleted a trace meanwhile; the foreign keys notice, and `Store` writes once more without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from .chains import Link, batches
from .full_text import index_messages, link_traces
from .schema import DocumentRow, MessageRow, TextChunkRow, TokenChunkRow
from .upsert import insert_new

Shared = Link | DocumentRow
Columns = Callable[[], Mapping[str, Any]]

_REMEMBERED = 50_000
"""Digests a process remembers, about 7 MB; then it starts over."""

_FEW = 4
"""Rows that are inserted without asking first which are there: the database leaves those alone."""

_TABLES: tuple[type[Shared], ...] = (MessageRow, TokenChunkRow, TextChunkRow, DocumentRow)


class Memory:
    """The addresses a process has seen stored. Guarded by the store's write lock."""

    def __init__(self) -> None:
        self._digests: set[str] = set()

    def __contains__(self, digest: str) -> bool:
        return digest in self._digests

    def add(self, digests: set[str]) -> None:
        """Remember digests, once the transaction that met or wrote them is stored."""
        if len(self._digests) + len(digests) > _REMEMBERED:
            self._digests.clear()
        self._digests |= digests

    def clear(self) -> None:
        """Forget everything."""
        self._digests.clear()


class SharedRows:
    """What one transaction needs of shared rows: collect it, then `flush`.

    Args:
        connection: inside a write transaction.
        memory: what is known to be stored; see `Memory`.
    """

    def __init__(self, connection: Connection, memory: Memory) -> None:
        self._connection = connection
        self._memory = memory
        self._wanted: dict[type[Shared], dict[str, Columns]] = {table: {} for table in _TABLES}
        self._links: dict[str, tuple[str, str]] = {}
        self.met: set[str] = set()
        """Digests, and ids of traces, that are stored after `flush`."""
        self.identities: dict[tuple[int, str], str] = {}
        """Identities of messages by `id` and parent, while the caller keeps the messages alive."""

    def knows(self, key: str) -> bool:
        """Tell whether a digest or the id of a trace is known to be stored, for which `met` takes them."""
        return key in self._memory

    def forget(self) -> None:
        """Remember nothing that was stored before or by now: some of it is stored no more."""
        self._memory.clear()
        self.met.clear()

    def need_chain(
        self, row_type: type[Link], digests: Sequence[str], columns: Callable[[int], Mapping[str, Any]]
    ) -> None:
        """Ask for all links of a chain.

        Args:
            row_type: their table.
            digests: of all links, oldest first.
            columns: gives the columns of the link at an index besides digest and parent; called
                only for new links.
        """
        wanted = self._wanted[row_type]
        first = len(digests)
        # A stored or wanted link means its whole past is: look from the newest link backwards.
        while first and digests[first - 1] not in wanted and digests[first - 1] not in self._memory:
            first -= 1
        for index in range(first, len(digests)):
            parent = digests[index - 1] if index else None
            wanted[digests[index]] = _link(parent, columns, index)

    def need_trace_of(self, digests: Sequence[str], trace_id: str) -> None:
        """Let full-text search find `trace_id` by each of these messages, oldest first."""
        for digest in reversed(digests):
            key = digest + trace_id
            if key in self._links or key in self._memory:
                return  # and so is all before it
            self._links[key] = (digest, trace_id)

    def need_document(self, digest: str, columns: Columns) -> None:
        """Ask for a document; `columns` gives its kind and data, if it is new."""
        if digest not in self._memory:
            self._wanted[DocumentRow].setdefault(digest, columns)

    def flush(self) -> None:
        """Insert what is not there yet."""
        numbers: dict[str, int] = {}
        for table, wanted in self._wanted.items():
            stored: set[str] = set()
            if table is MessageRow or len(wanted) > _FEW:
                for batch in batches(list(wanted)):
                    stored.update(self._connection.scalars(_stored(table), {"digests": batch}))
            rows = [
                {"digest": digest, **columns()} for digest, columns in wanted.items() if digest not in stored
            ]
            insert_new(self._connection, table, rows)
            if table is MessageRow:
                numbers = index_messages(self._connection, {row["digest"]: row["body"] for row in rows})
            self.met.update(wanted)
            wanted.clear()
        link_traces(self._connection, self._links.values(), numbers)
        self.met.update(self._links)
        self._links.clear()


def _link(parent: str | None, columns: Callable[[int], Mapping[str, Any]], index: int) -> Columns:
    return lambda: {"parent": parent, **columns(index)}


@cache
def _stored(table: type[Shared]) -> Select[Any]:
    return select(table.digest).where(table.digest.in_(bindparam("digests", expanding=True)))
