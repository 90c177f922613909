"""Open the database behind a store URL, and say what is wrong where that fails."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError, StatementError

from flashtrace_agent.errors import StoreError

from .migrate import VERSION_TABLE

BUSY_TIMEOUT_S = 30
"""How long a SQLite writer waits for its turn."""

_SIGNS_OF_DAMAGE = (
    "not a database",
    "malformed",
    "no such table",
    "no such column",
    "Could not decode",
    "unsupported file format",
)
_SQLITE_MAGIC = b"SQLite format 3\0"

# Engines hide parameters: tracebacks of failed statements end in logs, and what people said must not.


def open_engine(url: str, *, create: bool = True) -> Engine:
    """Return an engine for a store URL; a new SQLite file gets its parent folder, if `create`.

    Raises:
        StoreError: if the URL names no database this package can use, or its file cannot be used.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, create)
    try:
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError("A PostgreSQL store needs its driver: pip install 'psycopg[binary]'.") from error


@contextmanager
def explained_errors(url: str) -> Iterator[None]:
    """Turn database errors into a StoreError of one sentence."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(_explain(url, str(error.orig))) from error
    except sqlite3.Error as error:  # VACUUM and backups are asked of the driver
        raise StoreError(_explain(url, str(error))) from error
    except StatementError as error:  # a value that its column type refused
        raise StoreError(f"A value cannot be stored: {error.orig}") from error
    except (OverflowError, RecursionError, UnicodeError) as error:  # a value that the driver refused
        raise StoreError(f"A value cannot be stored: {error}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"The store {shown_url(url)} failed: {error}") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(
            f"{url!r} is no store URL: write sqlite:///{url or 'traces.db'} or postgresql+psycopg://…"
        ) from error
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreError(
            f"A store cannot be a {parsed.drivername!r} URL: use sqlite:///PATH or postgresql+psycopg://…"
        )
    if parsed.database in (None, "", ":memory:"):
        raise StoreError("A store must be a file that lasts: write sqlite:///traces.db.")
    return parsed


def _open_sqlite(url: URL, create: bool) -> Engine:
    path = Path(str(url.database))
    try:
        if not create and not path.exists():
            raise StoreError(f"There is no store at {path}: check the path, or record a run into it first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with path.open("r+b" if not is_new else "ab") as file:
            head = b"" if is_new else file.read(len(_SQLITE_MAGIC))
    except IsADirectoryError as error:
        raise StoreError(
            f"{path} is a folder: give the path of a file, as in sqlite:///{path}/traces.db."
        ) from error
    except OSError as error:
        raise StoreError(
            f"The store {path} cannot be written ({error.strerror}): choose another file with --store or "
            "FLASHTRACE_AGENT_STORE."
        ) from error
    if head and head != _SQLITE_MAGIC:
        raise StoreError(f"{path} is not an SQLite database: choose another file for the store.")
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up_connection(connection: sqlite3.Connection, record: Any) -> None:
    # The driver must not open transactions by itself, or BEGIN IMMEDIATE comes too late.
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Digests go to random pages of their indexes; SQLite's own 2 MB hold few of them.
    connection.execute("PRAGMA cache_size = -32000")


def _use_wal(connection: sqlite3.Connection) -> None:
    # The mode is kept in the file. Changing it does not wait for other processes by itself.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            is_wal = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            if not is_wal and not _is_another_programs(connection):
                connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _is_another_programs(connection: sqlite3.Connection) -> bool:
    """Tell whether a file is to be left as it is; `current_revision` tells the user."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    return bool(tables) and VERSION_TABLE not in tables


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later can be refused the lock at once, whatever
    # the busy timeout; so writers take it from the start.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _explain(url: str, reason: str) -> str:
    shown = shown_url(url)
    if "locked" in reason:
        return f"The store {shown} was held by another process for {BUSY_TIMEOUT_S} s: try again."
    if any(sign in reason for sign in _SIGNS_OF_DAMAGE):
        return f"The store {shown} is damaged ({reason}): restore it from a backup or choose another file."
    if "full" in reason:
        return f"There is no space left for the store {shown}: free some and try again."
    if "readonly" in reason or "unable to open" in reason:
        return f"The store {shown} cannot be written: check the rights of the file and its folder."
    summary = " ".join(reason.split())
    return f"The store {shown} failed: {summary}"


def shown_url(url: str) -> str:
    """Return how messages name a store: its file, or its URL without the password."""
    parsed = make_url(url)
    return str(parsed.database) if parsed.get_backend_name() == "sqlite" else parsed.render_as_string()
