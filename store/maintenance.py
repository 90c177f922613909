"""Look after a store as a whole: how large it is, a copy of it, its unused space."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Text, func, select, type_coerce
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError

from .migrate import current_revision
from .schema import Base, TraceRow


def describe(session: Session) -> dict[str, Any]:
    """Return the kind of database, its schema revision, its bytes, and the rows of each table."""
    connection = session.connection()
    return {
        "database": connection.dialect.name,
        "schema": current_revision(connection),
        "bytes": used_bytes(session),
        "rows": {
            table.name: session.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.sorted_tables
        },
    }


def dropped_steps(session: Session) -> tuple[int, list[str]]:
    """Return how many steps were given up while recording, and which traces lack them, the newest first."""
    # Metadata is text on every database: only the few headers that mention it are read.
    mentioned = type_coerce(TraceRow.extra, Text).like('%"dropped_steps":%')
    rows = session.execute(select(TraceRow.id, TraceRow.extra).where(mentioned).order_by(TraceRow.id.desc()))
    counts = {
        trace_id: extra["dropped_steps"]
        for trace_id, extra in rows
        if isinstance(extra, dict) and type(extra.get("dropped_steps")) is int
    }
    return sum(counts.values()), list(counts)


def used_bytes(session: Session) -> int:
    """Return the bytes a store uses, without pages that wait to be reused."""
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
    pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def backup(engine: Engine, path: Path) -> None:
    """Copy an SQLite store to a new file while others write to it.

    Raises:
        StoreError: if the file exists or cannot be written, or for PostgreSQL.
    """
    if engine.dialect.name != "sqlite":
        raise StoreError("A PostgreSQL store is backed up by its own tools: use pg_dump.")
    if path.exists():
        raise StoreError(f"{path} exists already: choose another file for the backup.")
    partial = path.with_name(path.name + ".partial")  # what a killed backup leaves must not look like one
    try:
        partial.open("wb").close()
        with engine.connect() as connection, closing(sqlite3.connect(partial)) as target:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(target)
        partial.rename(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}): choose another file.") from error
    except sqlite3.Error as error:
        raise StoreError(f"The backup to {path} failed ({error}): nothing was kept of it.") from error
    finally:
        partial.unlink(missing_ok=True)


def vacuum(engine: Engine) -> None:
    """Give unused space back to the system."""
    # VACUUM runs outside any transaction.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw = connection.connection.driver_connection
        if raw is None:
            raise StoreError("The store's connection was lost: try again.")
        if isinstance(raw, sqlite3.Connection):
            raw.execute("INSERT INTO message_words (message_words) VALUES ('optimize')")
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            raw.execute("VACUUM")
