"""Insert rows that may be there already, in SQL that SQLite and PostgreSQL both speak.

The statements are built once: composing one costs SQLAlchemy several times what running it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from .schema import Base

Insert = sqlite.Insert | postgresql.Insert


def insert_new(connection: Connection, row_type: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose key is not taken; leave the others as they are. Return how many were new."""
    if not rows:
        return 0
    return connection.execute(_insert_new(connection.dialect.name, row_type), list(rows)).rowcount


def insert_or_replace(
    connection: Connection, row_type: type[Base], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows, or give the rows that have their ids the new values; all have the same columns."""
    if rows:
        statement = _insert_or_replace(connection.dialect.name, row_type, tuple(rows[0]))
        connection.execute(statement, list(rows))


@cache
def _insert_new(dialect: str, row_type: type[Base]) -> Insert:
    return _insert(dialect, row_type).on_conflict_do_nothing()


@cache
def _insert_or_replace(dialect: str, row_type: type[Base], columns: tuple[str, ...]) -> Insert:
    statement = _insert(dialect, row_type)
    changes = {name: statement.excluded[name] for name in columns if name != "id"}
    return statement.on_conflict_do_update(index_elements=["id"], set_=changes)


def _insert(dialect: str, row_type: type[Base]) -> Insert:
    return postgresql.insert(row_type) if dialect == "postgresql" else sqlite.insert(row_type)
