"""Events to rows of the store, on a background thread; attributions on another.

The agent's threads only call `submit`. The writer thread assembles traces and writes a trace's
header as soon as it begins (``incomplete``, so that a killed agent leaves a trace that says so),
each step when it ends, and the header again at the trace's end. Where an attributor is given, a
second thread then explains the trace's model steps, so that slow attribution never delays
recording.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flashtrace_agent.trace import Step, Trace

from .assembler import Assembler, Labels
from .events import Event, TraceEnded, TraceStarted
from .worker import Failures, Worker, logger

if TYPE_CHECKING:
    from flashtrace_agent.engine.attributor import Attributor
    from flashtrace_agent.store import Store

MAX_WAITING_STEPS = 10_000
"""Steps that may wait for their attribution; further ones are dropped and counted."""

EXIT_SECONDS = 10.0
"""How long a process that ends waits for what is still queued."""


class Recorder:
    """Writes what the callbacks submit, and explains it where an attributor is given.

    Args:
        store: where to write.
        owns_store: close the store with the recorder.
        labels: what the user says about the traces.
        attributor: explains model steps whose exact token ids are known; None for none.
        targets: what to explain of each step; None for everything it has.
        max_queue: events that may wait to be written.
    """

    def __init__(
        self,
        store: Store,
        *,
        owns_store: bool,
        labels: Labels,
        attributor: Attributor | None = None,
        targets: Sequence[str] | None = None,
        max_queue: int = 10_000,
    ) -> None:
        self.failures = Failures()
        self._store = store
        self._owns_store = owns_store
        self._attributor = attributor
        self._targets = list(targets) if targets is not None else None
        self._closed = False
        assembler = Assembler(self, labels, self._explain_later if attributor is not None else None)
        self._writer: Worker[Event] = Worker("flashtrace-writer", assembler.handle, self.failures, max_queue)
        self._explainer: Worker[str] = Worker(
            "flashtrace-attribution", self._explain, self.failures, MAX_WAITING_STEPS
        )

    @property
    def dropped(self) -> int:
        """Events and attributions that were given up because a queue was full or closed."""
        return self._writer.dropped + self._explainer.dropped

    def submit(self, event: Event) -> None:
        """Queue an event; cheap, never blocks. A trace's start and end are never dropped."""
        self._writer.put(event, keep=isinstance(event, TraceStarted | TraceEnded))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was submitted is written and explained; return whether it is."""
        deadline = None if timeout is None else time.monotonic() + timeout
        written = self._writer.wait(timeout)
        rest = None if deadline is None else max(0.0, deadline - time.monotonic())
        return written and self._explainer.wait(rest)

    def close(self, timeout: float | None) -> bool:
        """Flush, stop both threads, close an own store; return whether everything was written.

        Attributions that did not fit into `timeout` seconds are left out; they can be computed
        later from the store. Closing twice is harmless.
        """
        if self._closed:
            return True
        self._closed = True
        complete = self.flush(timeout)
        left = self._writer.stop() + self._explainer.stop()
        if not complete:
            logger.warning(
                "FlashTrace closed with work unfinished (%d items left); call flush() before the end.", left
            )
        self._writer.join(1.0)
        self._explainer.join(1.0)
        if self._owns_store:
            self._store.close()
        return complete

    def write_trace(self, trace: Trace) -> bool:
        """Write a trace's header; a failure is counted, logged once, and answered with False."""
        return self._attempt("writing a trace", self._store.write_trace, trace)

    def write_step(self, step: Step) -> bool:
        """Write a step; a failure is counted, logged once, and answered with False."""
        return self._attempt("writing a step", self._store.write_step, step)

    def _attempt(self, what: str, write: Any, *arguments: Any) -> bool:
        try:
            write(*arguments)
        except Exception as error:  # noqa: BLE001 - a broken store must not end the recording
            self.failures.note(what, error)
            return False
        return True

    def _explain_later(self, step_ids: list[str]) -> None:
        for step_id in step_ids:
            self._explainer.put(step_id)

    def _explain(self, step_id: str) -> None:
        from flashtrace_agent.explain import explain_step  # only where it is used

        if self._attributor is None:
            return
        # Read back rather than kept: the histories of waiting steps would fill the memory.
        step = self._store.get_step(step_id)
        for attribution in explain_step(self._attributor, step, self._targets):
            self._attempt("writing an attribution", self._store.write_attribution, step.id, attribution)
