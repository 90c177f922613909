"""Events to rows of the store, on a background thread; attributions on another.

The agent's threads only call `submit`. The writer thread assembles traces and writes a trace's
header as soon as it begins (``incomplete``, so that a killed agent leaves a trace that says so),
each step when it ends, and the header again at the trace's end; all that waits goes in one
transaction. Where an attributor is given, a second thread then explains the trace's model steps,
so that slow attribution never delays recording. Each of these steps is written together with a job in
the store's queue, so what a process had not computed when it was killed is still queued.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from flashtrace_agent import forking
from flashtrace_agent.redaction import Redaction
from flashtrace_agent.trace import Fidelity, Step, Trace, utc_now

from .assembler import Assembler, Labels
from .events import Event, Failure, TraceEnded
from .runs import RunTree
from .worker import Drops, Failures, Worker, logger

if TYPE_CHECKING:
    from flashtrace_agent.attribution import Attribution
    from flashtrace_agent.engine.attributor import Attributor
    from flashtrace_agent.store import Job, Store

MAX_WAITING_STEPS = 10_000
"""Steps that may wait for their attribution here; further ones are left to ``flashtrace-agent worker``."""

EXPLAINED_TOGETHER = 16
"""Steps whose jobs are taken from the store's queue at once."""

BATCH = 256
"""Events that are written in one transaction at most."""

MAX_ORIGINALS = 256
"""Steps kept in memory as they were before redaction, until they are explained."""

EXIT_SECONDS = 10.0
"""How long a process that ends waits for what is still queued."""


class Recorder:
    """Writes what the callbacks submit, and explains it where an attributor is given.

    Args:
        store: where to write.
        owns_store: close the store with the recorder.
        runs: the open runs; those that never end are written as incomplete.
        labels: what the user says about the traces.
        attributor: explains model steps whose exact token ids are known; None for none.
        targets: what to explain of each step; None for everything it has.
        max_queue: events that may wait to be written.
        redaction: applied to all that is written.
        explain_redacted: explain steps of which something is taken out, from memory, before that;
            else not at all.
    """

    def __init__(
        self,
        store: Store,
        *,
        owns_store: bool,
        runs: RunTree,
        labels: Labels,
        attributor: Attributor | None = None,
        targets: Sequence[str] | None = None,
        max_queue: int = 10_000,
        redaction: Redaction | None = None,
        explain_redacted: bool = True,
    ) -> None:
        self.failures = Failures()
        self.drops = Drops()
        self._store = store
        self._owns_store = owns_store
        self._runs = runs
        self._attributor = attributor
        self._targets = list(targets) if targets is not None else None
        self._redaction = redaction
        self._explain_redacted = explain_redacted and attributor is not None
        self._originals: dict[str, tuple[Step, Step]] = {}
        self._closed = False
        self._stopping = threading.Event()
        self._traces: dict[str, Trace] = {}
        self._steps: dict[str, Step] = {}
        self._assembler = Assembler(self, labels, self._explain_later if attributor is not None else None)
        self._writer: Worker[Event] = Worker("flashtrace-writer", self._take, self.failures, max_queue, BATCH)
        self._explainer: Worker[str] = Worker(
            "flashtrace-attribution", self._explain, self.failures, MAX_WAITING_STEPS, EXPLAINED_TOGETHER
        )
        forking.survive(self)

    def submit(self, event: Event, *, keep: bool = False) -> str | None:
        """Queue an event; cheap, never blocks.

        Args:
            event: what happened.
            keep: accept it even where the queue is full.

        Returns why it was not taken; None where it was.
        """
        if self._writer.put(event, keep=keep):
            return None
        return "the handler is closed" if self._writer.stopped else "the queue is full"

    def give_up_runs(self, *, everything: bool = False) -> None:
        """End the traces that were idle too long or are too many: they are written as incomplete."""
        why = "the recording was closed before the run ended" if everything else "no end was ever seen"
        for root, idle in self._runs.give_up(everything=everything):
            self.submit(TraceEnded(root, utc_now() - idle, Failure(why, "stopped")), keep=True)

    def before_fork(self) -> None:
        """See `forking`: nothing to wait for; the store does."""

    def after_fork_in_parent(self) -> None:
        """See `forking`."""

    def after_fork_in_child(self) -> None:
        """Begin anew: what is queued or open is the parent's, which writes it."""
        self.failures.renew()
        self.drops.renew()
        self._traces, self._steps, self._originals = {}, {}, {}
        self._runs.clear()
        self._assembler.renew()
        self._writer.renew()
        self._explainer.renew()
        self._stopping = threading.Event()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was submitted is written and explained; return whether it is."""
        deadline = None if timeout is None else time.monotonic() + timeout
        written = self._writer.wait(timeout)
        rest = None if deadline is None else max(0.0, deadline - time.monotonic())
        return written and self._explainer.wait(rest)

    def close(self, timeout: float | None) -> bool:
        """Flush, stop both threads, close an own store; return whether everything was written.

        Attributions that did not fit into `timeout` seconds stay queued in the store, where
        ``flashtrace-agent worker`` finds them. Closing twice is harmless.
        """
        if self._closed:
            return True
        self._closed = True
        self.give_up_runs(everything=True)
        complete = self.flush(timeout)
        self.drops.note("event", "the handler was closed before it was written", self._writer.stop())
        self._stopping.set()
        left = self._explainer.stop()
        if left:
            logger.warning(
                "%d attributions were not computed before the handler was closed; they are queued in the "
                "store, and `flashtrace-agent worker` computes them.",
                left,
            )
        self._writer.join(1.0)
        self._explainer.join(1.0)
        if self._owns_store:
            self._store.close()
        return complete

    def write_trace(self, trace: Trace) -> None:
        """Take a trace's header; it is written with the batch."""
        self._traces[trace.id] = trace

    def write_step(self, step: Step) -> None:
        """Take a step; it is written with the batch."""
        self._steps[step.id] = step

    def _take(self, events: Sequence[Event]) -> None:
        if not events:
            self.give_up_runs()
        for event in events:
            try:
                self._assembler.handle(event)
            except Exception as error:  # noqa: BLE001 - others of the batch must get through
                self.failures.note(f"taking in {type(event).__name__}", error)
        self._write()

    def _write(self) -> None:
        traces, steps = list(self._traces.values()), list(self._steps.values())
        self._traces, self._steps = {}, {}
        if not traces and not steps:
            return
        if self._redaction is not None:
            traces = [self._redaction.trace(trace) for trace in traces]
            steps = [self._redacted(self._redaction, step) for step in steps]
        explain = [
            step.id for step in steps if step.fidelity is Fidelity.EXACT and self._attributor is not None
        ]
        try:
            self._store.write_together(traces, steps, explain=explain, targets=self._targets)
        except Exception:  # noqa: BLE001 - one that cannot be written must not cost the others
            for trace in traces:
                self._attempt("writing a trace", self._store.write_trace, trace)
            for step in steps:
                queued = [step.id] if step.id in explain else []
                write = partial(self._store.write_together, explain=queued, targets=self._targets)
                self._attempt("writing a step", write, [], [step])

    def _redacted(self, redaction: Redaction, step: Step) -> Step:
        clean = redaction.step(step)
        if clean is not step and step.token_ids and self._explain_redacted:
            if len(self._originals) < MAX_ORIGINALS:
                self._originals[step.id] = (step, clean)
            else:
                self.drops.note("attribution", "too many redacted steps wait for theirs in memory")
        return clean

    def _attempt(self, what: str, write: Any, *arguments: Any) -> None:
        try:
            write(*arguments)
        except Exception as error:  # noqa: BLE001 - a broken store must not end the recording
            self.failures.note(what, error)

    def _explain_later(self, step_ids: Sequence[str]) -> None:
        # Not before the steps are written, with their jobs: what does not fit stays in the store's queue.
        self._write()
        for step_id in step_ids:
            self._explainer.put(step_id)

    def _explain(self, step_ids: Sequence[str]) -> None:
        if not step_ids:
            return
        from flashtrace_agent.store.job_requests import job_id  # SQLAlchemy: only where it is used
        from flashtrace_agent.store.work import work_on

        # Only what this process queued: other jobs may need other models.
        wanted = [job_id(step_id, self._targets) for step_id in step_ids]
        name = f"{platform.node()}:{os.getpid()}"
        jobs = self._store.jobs.lease(name, count=len(wanted), only=wanted)
        for _ in work_on(self._store, jobs, self._explain_step, stop=self._stopping):
            pass
        for step, clean in [self._originals.pop(each) for each in step_ids if each in self._originals]:
            self._explain_original(step, clean)

    def _explain_step(self, step: Step, job: Job) -> Sequence[Attribution]:
        from flashtrace_agent.explain import explain_step  # only where it is used

        assert self._attributor is not None
        try:
            return explain_step(self._attributor, step, job.targets)
        except Exception as error:
            self.failures.note("attribution", error)
            raise  # the queue keeps it too, and decides

    def _explain_original(self, step: Step, clean: Step) -> None:
        """Explain a step as it was, and write of it what may be written."""
        from flashtrace_agent.explain import explain_step  # only where it is used

        assert self._attributor is not None
        assert self._redaction is not None
        for found in explain_step(self._attributor, step, self._targets):
            kept = self._redaction.attribution(found, step, clean)
            self._attempt("writing an attribution", self._store.write_attribution, step.id, kept)
