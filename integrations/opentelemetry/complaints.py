"""Count what is wrong with incoming spans; log the first of each kind.

A fleet of agents with one broken instrumentation sends the same fault a million times: one line
in the log says what it is, and the count says how often.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

logger = logging.getLogger("flashtrace_agent.integrations.opentelemetry")

_DETAIL = 200
"""Characters of a fault's detail that are logged."""


class Complaints:
    """How often each kind of fault was seen, from any number of threads."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, with a new lock: in a forked child nobody is left to release the old one."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, kind: str, detail: object = "") -> None:
        """Count one fault; the first of its kind is logged with its detail."""
        with self._lock:
            self._counts[kind] += 1
            first = self._counts[kind] == 1
        if first:
            logger.warning(
                "FlashTrace: %s; more of this kind are only counted: %s", kind, repr(detail)[:_DETAIL]
            )

    @property
    def by_kind(self) -> dict[str, int]:
        """How many faults there were of each kind."""
        with self._lock:
            return dict(self._counts)


COMPLAINTS = Complaints()
"""Those of this process, like its log: readers are plain functions and carry no state."""
