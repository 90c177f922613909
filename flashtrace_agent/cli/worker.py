"""``flashtrace-agent worker``: compute queued attributions and checks."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.count_of import count_of
from flashtrace_agent.errors import FlashTraceError

from .loaded_model import LoadedModel
from .options import (
    Dtype,
    DtypeOption,
    ModelOption,
    StoreOption,
    WhereOption,
    open_existing_store,
)
from .progress import open_progress

if TYPE_CHECKING:
    from flashtrace_agent.attribution import Attribution
    from flashtrace_agent.store import Job, Store
    from flashtrace_agent.trace import Step

_COUNT_S = 2.0
"""How often the progress bar learns how many jobs are queued."""


def worker(
    where: WhereOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="First queue all model steps that are not attributed yet.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep waiting for jobs; SIGTERM ends it.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="First queue the jobs again that failed.")] = False,
    model: ModelOption = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="Where the model runs, as in cuda:1 or cpu.", show_default=False),
    ] = None,
    dtype: DtypeOption = Dtype.AUTO,
    store: StoreOption = None,
) -> None:
    """Compute queued attributions.

    --where or --all queue steps first. Several workers may share a store. SIGTERM or Ctrl+C lets the
    job at hand finish; a second one gives it back.
    """
    with open_existing_store(store) as opened:
        if retry:
            typer.echo(f"Queued {opened.jobs.retry()} failed jobs again.", err=True)
        if where is not None or everything:
            typer.echo(f"Queued {count_of(opened.jobs.enqueue_where(where), 'step')}.", err=True)
        _work(opened, _Explainer(opened, LoadedModel(model, dtype, device)), watch)
        counts = opened.jobs.counts()
        dead = opened.jobs.dead(3) if counts["dead"] else []
    typer.echo("Jobs: " + ", ".join(f"{number} {status}" for status, number in counts.items()))
    if dead:
        reasons = "; ".join(f"step {job.step_id}: {job.error}" for job in dead)
        raise FlashTraceError(
            f"{count_of(counts['dead'], 'job')} failed for good, so look at why ({reasons})."
        )


def _work(opened: Store, explainer: _Explainer, watch: bool) -> None:
    from flashtrace_agent.store.work import work

    name = f"{platform.node()}:{os.getpid()}"
    done, queued, counted = 0, opened.jobs.counts()["queued"], time.monotonic()
    with _stopped_by_signals() as stop, open_progress() as progress:
        bar = progress.add_task("attributing", total=queued or None)
        for outcome in work(opened, explainer, worker=name, stop=stop, watch=watch):
            done += 1
            if time.monotonic() - counted > _COUNT_S:  # counting a long queue takes a while
                queued, counted = done + opened.jobs.counts()["queued"], time.monotonic()
            progress.update(bar, completed=done, total=max(queued, done))
            if outcome.error is not None:
                told = f"Step {outcome.job.step_id} {outcome.result}: {outcome.error}"
                progress.console.print(told, markup=False)


class _Explainer:
    """Explains jobs, or checks a review's lines, with the models that wrote their steps."""

    def __init__(self, store: Store, model: LoadedModel) -> None:
        self._store = store
        self._model = model

    def __call__(self, step: Step, job: Job) -> Sequence[Attribution]:
        from flashtrace_agent.explain import explain_step

        attributor = self._model.for_step(step)
        if job.review is not None:
            from flashtrace_agent.review.request import LineCheck

            LineCheck.from_dict(job.review).run(self._store, attributor)
            return []
        found = explain_step(attributor, step, job.targets, hops=job.hops, method=job.method)
        return [one.check(attributor) for one in found] if job.check else found


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Set an event at the first SIGTERM or SIGINT; interrupt at the second."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
