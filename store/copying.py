"""Copy a whole store into an empty one, also from one kind of database to the other.

1. The source is read in one transaction, so others may go on writing to it; every table is copied
   row by row as it is stored.
2. The full-text index, which each database has in its own form, is made anew from the messages.
3. A digest over all rows, in whatever order, is taken of what was read and of what the target then
   holds. Only if they agree for every table is the target's transaction committed: a copy is whole
   or not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKeyConstraint,
    Select,
    Table,
    func,
    insert,
    select,
    text,
)
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.schema import AddConstraint, DropConstraint
from sqlalchemy.sql.expression import TableClause
from sqlalchemy.types import TypeDecorator, TypeEngine

from flashtrace_agent.errors import StoreError

from .database import explained_errors
from .full_text import INDEX_TABLE, rebuild_index
from .schema import Base

Tick = Callable[[str, int], None]
"""Called with a table and how many more of its rows are copied, then with `VERIFIED` and how many are."""

VERIFIED = "verified"

_BATCH = 1000


class TableDigest:
    """A digest over a table's rows that does not depend on their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Sequence[Any]) -> None:
        """Take in a row of plain values."""
        content = repr([bytes(value) if isinstance(value, memoryview) else value for value in row])
        digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 128)
        self.rows += 1

    def __str__(self) -> str:
        return f"{self.rows}:{self._sum:032x}"


def count_rows(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }


def copy_rows(source: Engine, target: Connection, tick: Tick) -> str:
    """Copy every row into an empty store, inside a write transaction, and return the copy's digest.

    Raises:
        StoreError: if the target holds something, or what it holds afterwards is not what was read.
    """
    if any(count_rows(target).values()):
        raise StoreError("The target holds something already: give the URL of a new or empty store.")
    with source.connect() as reading, _chains_in_any_order(target):
        read = {
            table.name: _copy_table(reading, target, table, tick) for table in Base.metadata.sorted_tables
        }
    rebuild_index(target, lambda messages: tick(INDEX_TABLE, messages))
    if target.dialect.name == "postgresql":
        target.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('message_numbers', 'id'), "
                "coalesce(max(id), 0) + 1, false) FROM message_numbers"
            )
        )
    for table in Base.metadata.sorted_tables:
        written = TableDigest()
        for rows in target.execute(_all(_plain(table))).partitions():
            for row in rows:
                written.add(row)
            tick(VERIFIED, len(rows))
        if str(written) != str(read[table.name]):
            raise StoreError(
                f"The copy of table {table.name} is not what was read, so nothing was kept: "
                "run `db check` on the source."
            )
    whole = "\n".join(f"{name} {digest}" for name, digest in sorted(read.items()))
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def _copy_table(reading: Connection, target: Connection, table: Table, tick: Tick) -> TableDigest:
    plain = _plain(table)
    digest = TableDigest()
    names = [column.name for column in plain.columns]
    for rows in _read_pages(reading, plain):
        for row in rows:
            digest.add(row)
        target.execute(insert(plain), [dict(zip(names, row, strict=True)) for row in rows])
        tick(table.name, len(rows))
    return digest


def _read_pages(reading: Connection, table: TableClause) -> Iterator[Sequence[Any]]:
    # What goes wrong here is the source's; around it, it would be taken for the target's.
    with explained_errors(reading.engine.url.render_as_string()):
        yield from reading.execute(_all(table)).partitions()


def _plain(table: Table) -> TableClause:
    """Return a table whose values are read and written as they are stored."""
    return sql_table(table.name, *(sql_column(column.name, _stored_as(column)) for column in table.columns))


def _stored_as(column: Column[Any]) -> TypeEngine[Any]:
    kind = column.type
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _all(table: TableClause) -> Select[Any]:
    return select(table).execution_options(yield_per=_BATCH)  # also streams, on PostgreSQL


@contextmanager
def _chains_in_any_order(target: Connection) -> Iterator[None]:
    """Let a link be inserted before its parent; all references are verified at the end."""
    if target.dialect.name == "sqlite":
        target.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        yield
        return
    own = [
        constraint
        for table in Base.metadata.sorted_tables
        for constraint in table.constraints
        if isinstance(constraint, ForeignKeyConstraint) and constraint.referred_table is table
    ]
    for constraint in own:
        target.execute(DropConstraint(constraint))
    yield
    for constraint in own:
        target.execute(AddConstraint(constraint))
