"""Read chains: rows that each name the digest of the row before them.

A link is stored only after its parent, so a stored link means its whole past is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError

from .schema import MessageRow, TextChunkRow, TokenChunkRow

Link = MessageRow | TokenChunkRow | TextChunkRow
L = TypeVar("L", MessageRow, TokenChunkRow, TextChunkRow)

_BATCH = 400
"""Bound parameters per query; SQLite allows 999 in its oldest supported builds."""


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


def past_of(
    connection: Connection, row_type: type[Link], heads: Iterable[str | None]
) -> dict[str, str | None]:
    """Return every link that one of the chains ending in `heads` holds, with its parent; no contents."""
    past: dict[str, str | None] = {}
    table = row_type.__table__
    for batch in batches(sorted({head for head in heads if head is not None})):
        chain = select(table.c.digest, table.c.parent).where(table.c.digest.in_(batch)).cte(recursive=True)
        chain = chain.union(
            select(table.c.digest, table.c.parent).join(chain, table.c.digest == chain.c.parent)
        )
        past.update((digest, parent) for digest, parent in connection.execute(select(chain)))
    return past


def follow(links: Mapping[str, L], head: str | None) -> list[L]:
    """Return the links of the chain that ends in `head`, oldest first.

    Raises:
        StoreError: if a link is missing, or the chain is a circle.
    """
    path: list[L] = []
    while head is not None:
        if head not in links or len(path) == len(links):
            raise StoreError(f"The store lacks the entry {head}: restore the store from a backup.")
        path.append(links[head])
        head = links[head].parent
    path.reverse()
    return path


def batches(values: Sequence[str], size: int = _BATCH) -> Iterator[Sequence[str]]:
    """Cut `values` into runs short enough for one query."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
