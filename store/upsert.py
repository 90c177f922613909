"""Insert rows that may be there already, in SQL that SQLite and PostgreSQL both speak."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from .schema import Base


def insert_new(connection: Connection, row_type: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not taken; leave the others as they are."""
    if rows:
        connection.execute(_insert(connection, row_type).on_conflict_do_nothing(), list(rows))


def insert_or_replace(
    connection: Connection, row_type: type[Base], row: Mapping[str, Any], key: Iterable[str] = ("id",)
) -> None:
    """Insert a row, or give the row with its key the new values."""
    statement = _insert(connection, row_type)
    changes = {name: statement.excluded[name] for name in row if name not in set(key)}
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changes), [dict(row)])


def _insert(connection: Connection, row_type: type[Base]) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(row_type)
    return sqlite.insert(row_type)
