"""Which workers are running: each writes a sign of life every few seconds while it works.

A worker that was killed stops doing so and is not counted any more, so nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select
from sqlalchemy.orm import Session

from flashtrace_agent.trace import utc_now

from .heartbeat import repeated
from .schema import WorkerRow
from .upsert import insert_or_replace

BEAT_S = 5.0
"""How often a worker gives a sign of life."""

SILENCE_S = 30.0
"""After how long without one it counts as ended."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker: who it is, since when, and when it last gave a sign of life."""

    name: str
    started_at: datetime
    seen_at: datetime


class Workers:
    """The running workers of a store; get it from `Store.workers`.

    Args:
        write: opens a write transaction.
        read: opens a session to read.
    """

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Connection]],
        read: Callable[[], AbstractContextManager[Session]],
    ) -> None:
        self._write = write
        self._read = read

    def running(self) -> list[Worker]:
        """Return the workers heard of lately, the longest running first."""
        recent = WorkerRow.seen_at > utc_now() - timedelta(seconds=SILENCE_S)
        with self._read() as reading:
            rows = reading.scalars(select(WorkerRow).where(recent).order_by(WorkerRow.started_at))
            return [Worker(row.id, row.started_at, row.seen_at) for row in rows]

    @contextmanager
    def announced(self, name: str, beat_s: float = BEAT_S) -> Iterator[None]:
        """Give signs of life under `name`, from a second thread, until the block ends."""
        started = utc_now()
        self._beat(name, started)
        try:
            with repeated(lambda: self._beat(name, started), every_s=beat_s, name="flashtrace-beat"):
                yield
        finally:
            with self._write() as connection:
                connection.execute(delete(WorkerRow).where(WorkerRow.id == name))

    def _beat(self, name: str, started: datetime) -> None:
        long_gone = WorkerRow.seen_at < utc_now() - timedelta(days=1)
        with self._write() as connection:
            insert_or_replace(
                connection, WorkerRow, [{"id": name, "started_at": started, "seen_at": utc_now()}]
            )
            connection.execute(delete(WorkerRow).where(long_gone))
