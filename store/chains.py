"""Read and write chains: rows that each name the digest of the row before them.

A link is stored only after its parent, so a stored link means its whole past is stored. Writing
therefore looks from the newest link backwards until it meets one that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, bindparam, select
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError

from .schema import MessageRow, TextChunkRow, TokenChunkRow
from .upsert import insert_new

Link = MessageRow | TokenChunkRow | TextChunkRow
L = TypeVar("L", MessageRow, TokenChunkRow, TextChunkRow)

_BATCH = 400
"""Bound parameters per query; SQLite allows 999 in its oldest supported builds."""


def append_links(
    connection: Connection,
    row_type: type[Link],
    digests: Sequence[str],
    values: Callable[[int], Mapping[str, Any]],
) -> None:
    """Store the links of a chain that are new.

    Args:
        connection: inside a write transaction.
        digests: of all links, oldest first.
        values: gives the other columns of the link at an index; asked only for new links.
    """
    first = _first_unknown(connection, row_type, digests)
    rows = [
        {"digest": digests[i], "parent": digests[i - 1] if i else None, **values(i)}
        for i in range(first, len(digests))
    ]
    insert_new(connection, row_type, rows)


def read_links(session: Session, row_type: type[L], heads: Iterable[str | None]) -> dict[str, L]:
    """Return every link that one of the chains ending in `heads` holds, by digest."""
    links: dict[str, L] = {}
    wanted = sorted({head for head in heads if head is not None})
    for batch in batches(wanted):
        chain = select(row_type.digest, row_type.parent).where(row_type.digest.in_(batch)).cte(recursive=True)
        chain = chain.union(
            select(row_type.digest, row_type.parent).join(chain, row_type.digest == chain.c.parent)
        )
        query = select(row_type).where(row_type.digest.in_(select(chain.c.digest)))
        links.update((link.digest, link) for link in session.scalars(query))
    return links


def follow(links: Mapping[str, L], head: str | None) -> list[L]:
    """Return the links of the chain that ends in `head`, oldest first.

    Raises:
        StoreError: if a link is missing.
    """
    path: list[L] = []
    while head is not None:
        if head not in links:
            raise StoreError(f"The store lacks the entry {head}: restore the store from a backup.")
        path.append(links[head])
        head = links[head].parent
    path.reverse()
    return path


def batches(values: Sequence[str], size: int = _BATCH) -> Iterator[Sequence[str]]:
    """Cut `values` into runs short enough for one query."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _first_unknown(connection: Connection, row_type: type[Link], digests: Sequence[str]) -> int:
    end, size = len(digests), 16
    while end > 0:
        start = max(0, end - size)
        known = set(connection.scalars(_known(row_type), {"digests": digests[start:end]}))
        for index in range(end - 1, start - 1, -1):
            if digests[index] in known:
                return index + 1
        end, size = start, _BATCH
    return 0


@cache
def _known(row_type: type[Link]) -> Select[Any]:
    return select(row_type.digest).where(row_type.digest.in_(bindparam("digests", expanding=True)))
