"""What a store offers those who look after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.orm import Session

from .damage import damage_explained
from .database import explained_errors, shown_url
from .deletion import delete_step_rows, delete_trace_rows
from .deletion_plan import DeletionPlan, plan_deletion
from .maintenance import backup, describe, dropped_steps, vacuum
from .schema import TraceRow
from .traces import resolve_id
from .transactions import Transactions

if TYPE_CHECKING:
    from .check_rows import Problem


class Upkeep(Transactions):
    """Deletes from a store, checks, describes, backs up, copies and compacts it. See `Store`."""

    def plan_deletion(self, where: str | None, *, max_bytes: int | None = None) -> DeletionPlan:
        """Return which traces a filter finds to delete; with `max_bytes`, only the oldest too many."""
        with self._read() as reading:
            return plan_deletion(reading, self._condition(where), max_bytes)

    def plan_deletion_of(self, id_or_prefix: str) -> DeletionPlan:
        """Return what deleting one trace would take; others whose ids begin with its own stay.

        Raises:
            StoreError: if no trace or several have an id that begins so.
        """
        with self._read() as reading:
            trace_id = resolve_id(reading, TraceRow, id_or_prefix)
            return plan_deletion(reading, TraceRow.id == trace_id, None)

    def delete_trace(self, id_or_prefix: str) -> str:
        """Delete a trace and every message, chunk and document only it referred to; return its id."""
        with damage_explained(shown_url(self.url)), self._write() as connection:
            with Session(connection) as session:
                trace_id = resolve_id(session, TraceRow, id_or_prefix)
            delete_trace_rows(connection, trace_id)
            self._memory.clear()
        return trace_id

    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        """Delete several traces by their full ids in one transaction; see `delete_trace`."""
        with damage_explained(shown_url(self.url)), self._write() as connection:
            for trace_id in trace_ids:
                delete_trace_rows(connection, trace_id)
            self._memory.clear()

    def delete_steps(self, step_ids: Sequence[str]) -> None:
        """Delete steps with all that was found and said about them, and leave their traces.

        As `delete_trace`, what only they referred to goes too. Ids that are not stored are ignored.
        """
        with damage_explained(shown_url(self.url)), self._write() as connection:
            delete_step_rows(connection, step_ids)
            self._memory.clear()

    def check(self, tick: Callable[[int], None] = lambda rows: None) -> list[Problem]:
        """Verify every hash, length and reference; return what is wrong where.

        Args:
            tick: told of how many more of `count_checked` rows are checked.
        """
        from .check import find_problems

        with self._read() as reading:
            return list(find_problems(reading, tick))

    def count_checked(self) -> int:
        """Return how many rows `check` will look at; those of some tables count twice."""
        from .check import count_checked

        with self._read() as reading:
            return count_checked(reading)

    def describe(self) -> dict[str, Any]:
        """Return ``database``, ``schema``, ``bytes``, and ``rows`` by table."""
        with self._read() as reading:
            return describe(reading)

    def dropped_steps(self) -> tuple[int, list[str]]:
        """Return how many steps were given up while recording, and which traces lack them, newest first."""
        with self._read() as reading:
            return dropped_steps(reading)

    def backup(self, path: Path) -> None:
        """Copy an SQLite store to a new file while others write to it."""
        with explained_errors(self.url):
            backup(self._engine, path)

    def copy_to(self, target: Self, tick: Callable[[str, int], None] = lambda table, rows: None) -> str:
        """Copy everything into an empty store, all or nothing, and return the copy's digest.

        Args:
            target: on any kind of database.
            tick: told of a table and how many more of its rows are copied.

        Raises:
            StoreError: if the target is not empty, or does not hold afterwards what was read.
        """
        from .copying import copy_rows

        with (
            explained_errors(self.url),
            damage_explained(shown_url(self.url)),
            target._write() as connection,
        ):
            return copy_rows(self._reader, connection, tick)

    def vacuum(self) -> None:
        """Give unused space back to the system."""
        with explained_errors(self.url), self._write_lock:
            vacuum(self._engine)
