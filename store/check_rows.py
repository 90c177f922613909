"""What a check finds, row by row in order of their keys, also where some of them cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.orm import InstrumentedAttribute, Session

from flashtrace_agent.errors import StoreError

from .damage import UNREADABLE

Tick = Callable[[int], None]
"""Called with how many more rows are checked; rows of some tables are looked at several times."""

DAMAGE = (*UNREADABLE, StoreError)
"""What looking at a damaged row raises."""

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


def problems_by_row(
    session: Session,
    query: Any,
    key: InstrumentedAttribute[Any],
    look: Callable[[Any], Iterator[Problem]],
    tick: Tick = lambda more: None,
) -> Iterator[Problem]:
    """Yield what is wrong with the rows of a query, and which of them cannot be read.

    Args:
        session: to read.
        query: with `key` first.
        key: of the table that is read.
        look: yields what is wrong with a row; what it raises of `DAMAGE` is a problem of its own.
        tick: told of how many more rows are read.
    """
    for row in _rows_by_key(session, query, key, tick):
        if isinstance(row, Problem):
            yield row
            continue
        try:
            yield from look(row)
        except DAMAGE as error:
            table = key.class_.__tablename__
            yield Problem(table, str(row[0]), f"its content cannot be read ({one_sentence(error)})")


def _rows_by_key(session: Session, query: Any, key: InstrumentedAttribute[Any], tick: Tick) -> Iterator[Any]:
    """Yield rows in pages by key, so that a store of any size is checked in little memory.

    Where a page cannot be read its rows are read one by one, and a `Problem` stands for each that
    cannot.
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
