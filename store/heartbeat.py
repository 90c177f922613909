"""Do something again and again beside one's work, from a second thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flashtrace_agent.errors import StoreError

_LOG = logging.getLogger(__name__)


@contextmanager
def repeated(do: Callable[[], object], *, every_s: float, name: str) -> Iterator[None]:
    """Call `do` every so many seconds until the block ends.

    What the store does not take is said in the log and tried again at the next beat: leases and signs of
    life outlast a missed one, and a database that restarts must not end a worker's for good.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            try:
                do()
            except StoreError as error:
                _LOG.warning("%s: %s", name, error)

    thread = threading.Thread(target=beat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
