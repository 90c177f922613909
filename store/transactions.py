"""How a store reaches its database: opening it, transactions, and what a fork does to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import ColumnElement, Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from flashtrace_agent import forking
from flashtrace_agent.errors import StoreError

from .damage import damage_explained
from .database import explained_errors, open_engine, shown_url
from .migrate import SCHEMA_REVISION, current_revision, upgrade
from .shared_rows import Memory, SharedRows

T = TypeVar("T")

FORK_WAIT_S = 1.0
"""How long a fork waits at most for a write under way."""

_PARENTS_POOLS: list[Pool] = []
"""Kept for ever in a forked child: SQLite's locks break where inherited connections are closed."""


class Transactions:
    """Opens a database at this version's schema; reads and writes it from any thread.

    The arguments and errors are those of `Store`.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.url = url
        self._engine = open_engine(url, create=create)
        self._writer = self._engine.execution_options(writes=True)
        self._reader = self._engine
        if self._engine.dialect.name == "postgresql":  # SQLite's transactions see one state anyway
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")
        # Threads of one process queue here; SQLite would let them poll for the file's lock.
        self._write_lock = threading.RLock()
        self._memory = Memory()
        self._held = False
        forking.survive(self)
        try:
            with explained_errors(url), self._engine.begin() as connection:
                revision = current_revision(connection)
                is_current = revision == SCHEMA_REVISION
            if revision is None and not create:
                raise StoreError(f"There is no store in {shown_url(url)}: check the URL.")
            if not is_current:
                with self._write() as connection:
                    upgrade(connection)
        except StoreError:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close the database connections."""
        self._engine.dispose()

    def before_fork(self) -> None:
        """Wait for a write under way, so that the child inherits no half-done work; see `forking`."""
        self._held = self._write_lock.acquire(timeout=FORK_WAIT_S)

    def after_fork_in_parent(self) -> None:
        """Let writes go on."""
        held, self._held = self._held, False
        if held:
            self._write_lock.release()

    def after_fork_in_child(self) -> None:
        """Open connections of this process's own: those of the parent must not be used, nor closed."""
        _PARENTS_POOLS.append(self._engine.pool)
        self._engine.dispose(close=False)
        self._write_lock = threading.RLock()
        self._memory = Memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Open a transaction that is stored if the block ends well; SQLite's writers take turns."""
        with explained_errors(self.url), self._write_lock, self._writer.begin() as connection:
            yield connection

    def _write_shared(self, write: Callable[[Connection, SharedRows], T]) -> T:
        """Run `write` in a transaction with access to the shared rows; again if a memory misled it."""
        with self._write_lock:
            try:
                return self._write_remembering(write)
            except StoreError as error:
                if not isinstance(error.__cause__, IntegrityError):
                    raise
                self._memory.clear()
                return self._write_remembering(write)

    def _write_remembering(self, write: Callable[[Connection, SharedRows], T]) -> T:
        with self._write() as connection:
            shared = SharedRows(connection, self._memory)
            result = write(connection, shared)
        self._memory.add(shared.met)  # only now are they stored
        return result

    @contextmanager
    def _read(self) -> Iterator[Session]:
        """Open a session that sees the store as it is at its first question, whatever is written then."""
        shown = shown_url(self.url)
        with explained_errors(self.url), damage_explained(shown), Session(self._reader) as session:
            yield session

    def _condition(self, where: str | None) -> ColumnElement[bool] | None:
        if where is None:
            return None
        from .filter_sql import filter_condition  # only where it is used: listings must open quickly

        return filter_condition(where, self._engine.dialect.name)
