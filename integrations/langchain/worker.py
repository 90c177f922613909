"""One background thread with a bounded queue: what keeps recording out of the agent's way."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

logger = logging.getLogger("flashtrace_agent.integrations.langchain")


class Failures:
    """Counts what went wrong while recording, and logs the first of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """How many failures there were."""
        return self._counts.total()

    @property
    def by_kind(self) -> dict[str, int]:
        """How many failures there were of each kind."""
        with self._lock:
            return dict(self._counts)

    def note(self, where: str, error: BaseException) -> None:
        """Count one failure; the first of its place and type is logged with its traceback."""
        kind = f"{where}: {type(error).__name__}"
        with self._lock:
            self._counts[kind] += 1
            first = self._counts[kind] == 1
        if first:
            logger.warning(
                "FlashTrace failed in %s and the agent goes on; more of this kind are only counted: %s",
                where,
                error,
                exc_info=error,
            )


class Worker(Generic[Item]):
    """Handles items one after another on a daemon thread, which starts with the first item.

    Starting late keeps a handler made before a fork (a pre-forking web server) usable in the
    children. An item whose handling raises is counted in `failures`; the thread goes on.
    """

    def __init__(self, name: str, handle: Callable[[Item], None], failures: Failures, limit: int) -> None:
        self.dropped = 0
        self._name = name
        self._handle = handle
        self._failures = failures
        self._limit = limit
        self._items: deque[Item] = deque()
        self._busy = False
        self._stopped = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def put(self, item: Item, *, keep: bool = False) -> bool:
        """Queue an item; return False and count it as dropped where the queue is full.

        With `keep` the item is accepted even so: meant for the few that must not be lost.
        """
        with self._changed:
            if self._stopped or (len(self._items) >= self._limit and not keep):
                self.dropped += 1
                return False
            self._items.append(item)
            if self._thread is None or self._pid != os.getpid():
                self._pid, self._busy = os.getpid(), False
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
                while not self._items and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                item = self._items.popleft()
                self._busy = True
            try:
                self._handle(item)
            except Exception as error:  # noqa: BLE001 - the agent outlives every failure to record it
                self._failures.note(self._name, error)
            finally:
                del item  # an idle worker holds on to no messages
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
