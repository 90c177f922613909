"""Work a queue off: lease, compute, write, until there is nothing left or someone says stop.

A worker takes several jobs at once, to spare the database, and computes the longest first: what does
not fit into the device's memory shows at once, and each computation fits into the memory the one
before it left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import FlashTraceError, ModelFileError, StoreError, UnsupportedModelError
from flashtrace_agent.trace import Step, utc_now

from .heartbeat import repeated
from .job_leases import LEASE_S, Job
from .job_queue import JobQueue
from .store import Store

Explain = Callable[[Step, Job], Sequence[Attribution]]

IDLE_S = 1.0
"""How long a worker with nothing to do waits before it asks again."""

MOST_JOBS = 16
"""Jobs a worker holds at once."""

_SHARE = 8
"""A worker takes an eighth of what is open at most, so that the last jobs are spread over all workers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job; `error` is None where it is done."""

    job: Job
    result: Literal["done", "retried", "dead", "lost"]
    error: str | None = None


def work(
    store: Store,
    explain: Explain,
    *,
    worker: str,
    stop: threading.Event,
    watch: bool,
    lease_s: float = LEASE_S,
) -> Iterator[Outcome]:
    """Compute jobs, the longest of those taken together first, and yield what became of each.

    An error that names its cause (`FlashTraceError`: no such target, sequence too long) ends the
    job, since trying again would end the same; any other is tried again later, the store's too.

    Args:
        store: holds the queue and the steps.
        explain: computes a step's attributions.
        worker: who works, for people to read.
        stop: once set, the job at hand is finished and no other begun.
        watch: wait for further jobs instead of ending when none is open.
        lease_s: seconds after which a worker that is silent is taken for dead.

    Raises:
        ModelFileError, UnsupportedModelError: from `explain`; the job is given back.
    """
    with store.workers.announced(worker):
        yield from _work(store, explain, worker, stop, watch, lease_s)


def _work(
    store: Store, explain: Explain, worker: str, stop: threading.Event, watch: bool, lease_s: float
) -> Iterator[Outcome]:
    queue = store.jobs
    while not stop.is_set():
        count = min(max(queue.count_open(MOST_JOBS * _SHARE) // _SHARE, 1), MOST_JOBS)
        jobs = queue.lease(worker, count=count, seconds=lease_s)
        if not jobs:
            due = queue.next_due()
            if due is None and not watch:
                return
            # Jobs of other workers and those that back off come due later: they may still fail.
            wait = IDLE_S if due is None else (due - utc_now()).total_seconds()
            stop.wait(min(max(wait, 0.05), IDLE_S))
            continue
        yield from work_on(store, jobs, explain, stop=stop, lease_s=lease_s)


def work_on(
    store: Store, jobs: Sequence[Job], explain: Explain, *, stop: threading.Event, lease_s: float = LEASE_S
) -> Iterator[Outcome]:
    """Compute leased jobs; those not begun when `stop` is set, or when this ends early, are given back.

    Arguments, results and errors are those of `work`.
    """
    queue = store.jobs
    waiting = sorted(jobs, key=lambda job: (job.priority, job.tokens))
    with _held(queue, waiting, lease_s):
        try:
            while waiting and not stop.is_set():
                outcome = _do(store, queue, waiting[-1], explain)
                waiting.pop()
                yield outcome
        finally:
            for job in waiting:
                queue.release(job)


def _do(store: Store, queue: JobQueue, job: Job, explain: Explain) -> Outcome:
    try:
        attributions = explain(store.get_step(job.step_id), job)
        is_ours = queue.complete(job, attributions)
    except (ModelFileError, UnsupportedModelError):  # nothing is wrong with the job
        raise
    except StoreError as error:  # the database's trouble may pass
        return Outcome(job, queue.fail(job, str(error)), str(error))
    except FlashTraceError as error:
        return Outcome(job, queue.fail(job, str(error), retry=False), str(error))
    except Exception as error:  # noqa: BLE001 - the queue keeps the error and decides
        reason = f"{type(error).__name__}: {error}"
        return Outcome(job, queue.fail(job, reason), reason)
    return Outcome(job, "done" if is_ours else "lost")


def _held(queue: JobQueue, jobs: Sequence[Job], lease_s: float) -> AbstractContextManager[None]:
    """Extend the leases of `jobs`, which may become fewer, until the block ends."""

    def extend() -> None:
        for job in list(jobs):
            queue.extend(job, lease_s)

    return repeated(extend, every_s=lease_s / 3, name="flashtrace-lease")
