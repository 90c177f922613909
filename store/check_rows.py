"""What a check finds, and rows in order of their keys, also where some of them cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.orm import InstrumentedAttribute, Session

from .damage import UNREADABLE

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a store: in which table, in which row, what."""

    table: str
    row: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.what}" if self.row else f"{self.table}: {self.what}"


def one_sentence(error: Exception) -> str:
    """Return what an error says, on one line and without the statement that met it."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(reason).split()) or type(error).__name__


def rows_by_key(
    session: Session,
    query: Any,
    key: InstrumentedAttribute[Any],
    tick: Callable[[int], None] = lambda more: None,
) -> Iterator[Any]:
    """Yield rows in pages by key, so that a store of any size is checked in little memory.

    Where a page cannot be read its rows are read one by one, and a `Problem` stands for each that
    cannot.

    Args:
        session: to read.
        query: with `key` first.
        key: of the table that is read.
        tick: told of how many more rows are read.
    """
    last: Any = None
    while True:
        after = [] if last is None else [key > last]
        try:
            page = session.execute(query.where(*after).order_by(key).limit(_PAGE)).all()
            keys = [row[0] for row in page]
        except (DBAPIError, *UNREADABLE):
            session.rollback()
            found = query.with_only_columns(key).where(*after).order_by(key).limit(_PAGE)
            keys = list(session.scalars(found))
            page = list(_one_by_one(session, query, key, keys))
        if not keys:
            return
        yield from page
        tick(len(page))
        last = keys[-1]


def _one_by_one(
    session: Session, query: Any, key: InstrumentedAttribute[Any], keys: list[Any]
) -> Iterator[Any]:
    for each in keys:
        try:
            yield session.execute(query.where(key == each)).one()
        except (DBAPIError, *UNREADABLE) as error:
            session.rollback()
            yield Problem(key.class_.__tablename__, str(each), f"it cannot be read ({one_sentence(error)})")
        except NoResultFound:
            yield Problem(key.class_.__tablename__, str(each), "an index has it, its table has not")
