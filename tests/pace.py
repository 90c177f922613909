"""How long something takes beside something else, on a machine of any speed that does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable


def processor_seconds(work: Callable[[], object], runs: int = 3) -> float:
    """Return the processor time of this process that `work` takes, the least of some runs."""
    seconds: list[float] = []
    for _ in range(runs):
        before = time.process_time()
        work()
        seconds.append(time.process_time() - before)
    return min(seconds)
