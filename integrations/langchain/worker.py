"""One background thread with a bounded queue: what keeps recording out of the agent's way."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

logger = logging.getLogger("flashtrace_agent.integrations.langchain")

TICK_S = 30.0
"""How often an idle worker looks after what may have become overdue."""


class Tally:
    """Counts by kind, from any number of threads."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, with a new lock: in a forked child nobody is left to release the old one."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """The number of all."""
        return self._counts.total()

    @property
    def by_kind(self) -> dict[str, int]:
        """The number of each kind."""
        with self._lock:
            return dict(self._counts)

    def add(self, kind: str, number: int = 1) -> bool:
        """Count so many more of a kind; return whether they are the first."""
        with self._lock:
            first = kind not in self._counts
            self._counts[kind] += number
            return first


class Drops(Tally):
    """Counts what was given up while recording, by what and why, and logs the first of each kind."""

    def note(self, what: str, why: str, number: int = 1) -> None:
        """Count so many more of a kind."""
        if number and self.add(f"{what}: {why}", number):
            logger.warning("FlashTrace dropped a %s (%s); more of this kind are only counted.", what, why)


class Failures(Tally):
    """Counts what went wrong while recording, and logs the first of each kind."""

    def note(self, where: str, error: BaseException) -> None:
        """Count one failure; the first of its place and type is logged with its traceback."""
        if self.add(f"{where}: {type(error).__name__}"):
            logger.warning(
                "FlashTrace failed in %s and the agent goes on; more of this kind are only counted: %s",
                where,
                error,
                exc_info=error,
            )


class Worker(Generic[Item]):
    """Handles items in their order on a daemon thread, which starts with the first item.

    Starting late keeps a handler made before a fork (a pre-forking web server) usable in the
    children. Handling that raises is counted in `failures`; the thread goes on.

    Args:
        name: the thread's name.
        handle: called with the items that wait, up to `batch` of them; with none, every `TICK_S`
            seconds in which there was nothing to do.
        failures: counts what handling raised.
        limit: items that may wait.
        batch: items handled together at most.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[list[Item]], None],
        failures: Failures,
        limit: int,
        batch: int = 1,
    ) -> None:
        self._name = name
        self._handle = handle
        self._failures = failures
        self._limit = limit
        self._batch = batch
        self._stopped = False
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked child: what is queued is the parent's, its thread and locks too."""
        self._items: deque[Item] = deque()
        self._busy = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def stopped(self) -> bool:
        """True once `stop` was called."""
        return self._stopped

    def put(self, item: Item, *, keep: bool = False) -> bool:
        """Queue an item; return False where the queue is full or the worker stopped.

        With `keep` a full queue accepts the item even so: meant for the few that must not be lost.
        """
        with self._changed:
            if self._stopped or (len(self._items) >= self._limit and not keep):
                return False
            self._items.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return True

    @property
    def idle(self) -> bool:
        """True where nothing is queued and nothing is being handled."""
        return not self._items and not self._busy

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until idle; return whether it is, within `timeout` seconds (None: for ever)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self.idle:
                rest = None if deadline is None else deadline - time.monotonic()
                if (rest is not None and rest <= 0) or threading.current_thread() is self._thread:
                    return False
                self._changed.wait(rest)
            return True

    def stop(self) -> int:
        """Accept nothing more, let the thread end after the current item; return how many were left."""
        with self._changed:
            self._stopped = True
            left = len(self._items)
            self._items.clear()
            self._changed.notify_all()
        return left

    def join(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the thread of a stopped worker to end."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                due = False
                while not (self._items or self._stopped or due):
                    due = not self._changed.wait(TICK_S)
                if self._stopped:
                    return
                batch = [self._items.popleft() for _ in range(min(self._batch, len(self._items)))]
                self._busy = True
            try:
                self._handle(batch)
            except Exception as error:  # noqa: BLE001 - the agent outlives every failure to record it
                self._failures.note(self._name, error)
            finally:
                del batch  # an idle worker holds on to no messages
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
