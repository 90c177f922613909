"""Where spans go: kept in the journal first, then assembled and written to the store.

`receive` returns once the spans are on disk. A run whose root is there is written to the store at
once, so that it can be looked at when the answer arrives; one without a root waits until it has
been quiet for a while, since most instrumentations send the root last.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING

from flashtrace_agent.errors import StoreError
from flashtrace_agent.redaction import Redaction
from flashtrace_agent.trace import Step, Trace

from .assembly import assemble
from .complaints import COMPLAINTS
from .journal import MAX_TRACE_SPANS, Journal, Run, journal_path
from .journal_events import MAX_TRACE_EVENTS
from .record import EventRecord, SpanRecord, redacted, redacted_event
from .stitching import lone_chat, stitch

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

QUIET_S = 5.0
"""How long a run without a root waits for more spans before it is written as it is."""

KEEP_SPANS_S = 3600.0
"""How long after its last span a run's spans are kept for late ones to join."""

KEEP_RUNS_S = 7 * 24 * 3600.0
"""How long a run's id is remembered, so that spans later still become steps of the same trace."""

_TICK_S = 1.0
_BATCH = 100
_REMEMBERED = 50_000
"""Steps whose content is remembered, so that they are not written again with every new span."""


_start = attrgetter("start")
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Work:
    """A run, and the trace its spans amount to; None where they are about no agent."""

    run: Run
    trace: Trace | None

    @property
    def stored_as(self) -> str | None:
        return self.run.stored_as if self.trace is None else self.trace.id

    @property
    def steps(self) -> list[str]:
        return [] if self.trace is None else [step.id for step in self.trace.steps]


class SpanSink:
    """Turns spans into the store's traces; any number of threads may call it.

    Args:
        store: where traces are written.
        own_store: close it with the sink.
        redaction: applied to every span before it is kept.

    Raises:
        StoreError: if the journal beside the store cannot be opened.
    """

    def __init__(self, store: Store, *, own_store: bool = False, redaction: Redaction | None = None) -> None:
        self._store = store
        self._redaction = redaction
        self._own_store = own_store
        self._journal = Journal(journal_path(store.url))
        self._lock = threading.RLock()
        self._written: OrderedDict[str, bytes] = OrderedDict()
        self._closed = threading.Event()
        self._timer = threading.Thread(target=self._tick, name="flashtrace-spans", daemon=True)
        self._timer.start()

    def receive(self, spans: Sequence[SpanRecord]) -> tuple[int, str]:
        """Take in spans; they are safe when this returns.

        Returns how many were refused, and why.

        Raises:
            StoreError: if they cannot be kept.
        """
        if self._redaction is not None:
            spans = [redacted(span, self._redaction) for span in spans]
        with self._lock:
            rooted, refused = self._journal.add(spans)
            self._write_runs(sorted(rooted))
        reason = f"A trace keeps {MAX_TRACE_SPANS} spans at most." if refused else ""
        if refused:
            COMPLAINTS.note("a trace has too many spans", refused)
        return refused, reason

    def receive_events(self, events: Sequence[EventRecord]) -> tuple[int, str]:
        """Take in events of spans that came by themselves; they are safe when this returns.

        Returns how many were refused, and why.

        Raises:
            StoreError: if they cannot be kept.
        """
        if self._redaction is not None:
            events = [replace(item, event=redacted_event(item.event, self._redaction)) for item in events]
        with self._lock:
            rooted, refused = self._journal.add_events(events)
            self._write_runs(sorted(rooted), told_more={event.trace_id for event in events})
        reason = f"A trace keeps {MAX_TRACE_EVENTS} events at most." if refused else ""
        if refused:
            COMPLAINTS.note("a trace has too many events", refused)
        return refused, reason

    def settle(self, *, quiet: float = 0.0) -> bool:
        """Write every run that waits, also without its root where it was quiet for so many seconds.

        Returns whether all of them are in the store.
        """
        with self._lock:
            failed: set[str] = set()
            while True:
                waiting = self._journal.pending(quiet=quiet, limit=_BATCH + len(failed))
                untried = [run_id for run_id in waiting if run_id not in failed]
                if not untried:
                    return not failed
                failed |= self._write_runs(untried)

    def close(self) -> None:
        """Write what waits, and close. Closing twice is harmless."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            try:
                self.settle()
            finally:
                self._journal.close()
                if self._own_store:
                    self._store.close()

    def _write_runs(self, run_ids: Sequence[str], told_more: Set[str] = frozenset()) -> set[str]:
        """Assemble and write runs until nothing came in between; return those that cannot be stored.

        Args:
            run_ids: the runs.
            told_more: traces whose spans say more than when they were last looked at.
        """
        failed: set[str] = set()
        waiting, again = list(run_ids), False
        while waiting:
            work = [self._assembled(run, spans) for run, spans in self._stitched(waiting, told_more)]
            done = self._store_together(work, force=again)
            failed |= {item.run.id for item in work} - {item.run.id for item in done}
            overtaken = self._journal.settle((item.run, item.stored_as, item.steps) for item in done)
            waiting, again = sorted(overtaken), True  # another process added spans meanwhile
        return failed

    def _stitched(self, run_ids: Sequence[str], told_more: Set[str]) -> list[tuple[Run, list[SpanRecord]]]:
        """Return runs with their spans, lone chats joined to the runs they belong to."""
        loaded = [self._journal.load(run_id) for run_id in run_ids]
        found: dict[str, tuple[Run | None, list[SpanRecord]]] = {}
        joined: set[str] = set()
        # In order of time, so that a chat finds the one it continues.
        for run, spans in sorted(loaded, key=lambda pair: min(map(_start, pair[1]), default=_NEVER)):
            if run is not None:
                found[run.id] = (run, spans)
            by_trace: dict[str, list[SpanRecord]] = {}
            for span in spans:
                by_trace.setdefault(span.trace_id, []).append(span)
            for trace, those in by_trace.items():
                if len(by_trace) == 1 or trace in told_more:  # else it was looked at when it was joined
                    chat = lone_chat(those)
                    into = None if chat is None else stitch(self._journal, chat)
                    joined |= set() if into is None else {into}
        if joined:  # each of them may have taken in others
            found = {run_id: self._journal.load(run_id) for run_id in joined | set(found)}
        return [(run, spans) for run, spans in found.values() if run is not None]

    def _assembled(self, run: Run, spans: list[SpanRecord]) -> _Work:
        try:
            return _Work(run, assemble(spans, run.stored_as))
        except Exception as error:  # noqa: BLE001 - whatever these spans hold, others must get through
            COMPLAINTS.note("a trace cannot be assembled", error)
            return _Work(run, None)

    def _store_together(self, work: list[_Work], *, force: bool) -> list[_Work]:
        """Write runs in one go, or one by one where that fails; return those that are stored."""
        try:
            self._store_runs(work, force=force)
        except StoreError as error:
            if len(work) > 1:
                return [item for one in work for item in self._store_together([one], force=True)]
            COMPLAINTS.note("a trace cannot be written yet", error)
            return []
        return work

    def _store_runs(self, work: Sequence[_Work], *, force: bool) -> None:
        traces: list[Trace] = []
        steps: list[Step] = []
        gone: list[str] = []
        for run, trace in ((item.run, item.trace) for item in work):
            if trace is None:
                continue
            if not run.dropped or run.stored_as is None:  # else the spans at hand are not the whole run
                traces.append(trace)
                gone += run.steps - {step.id for step in trace.steps}
            steps += trace.steps
        if gone:  # a tool's own span came after its result
            self._store.delete_steps(gone)
        for step_id in gone:
            self._written.pop(step_id, None)
        self._write(traces, steps, force=force)
        for item in work:
            for trace_id in item.run.replaced:
                self._delete(trace_id)

    def _write(self, traces: Sequence[Trace], steps: Sequence[Step], *, force: bool) -> None:
        """Write headers, and those steps that are not written like that already, in one transaction."""
        changed: dict[str, tuple[Step, bytes]] = {}
        for step in steps:
            content = hashlib.blake2b(repr(step).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if force or self._written.get(step.id) != content:
                changed[step.id] = (step, content)
        self._store.write_together(traces, [step for step, _ in changed.values()])
        for step_id, (_, content) in changed.items():
            self._written[step_id] = content
            self._written.move_to_end(step_id)
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _delete(self, trace_id: str) -> None:
        """Delete a trace that is written anew, or whose steps have moved to another one."""
        try:
            self._store.delete_trace(trace_id)
        except StoreError as error:
            COMPLAINTS.note("a trace to be replaced cannot be deleted", error)

    def _tick(self) -> None:
        while not self._closed.wait(_TICK_S):
            try:
                with self._lock:
                    if self._closed.is_set():
                        return
                    self.settle(quiet=QUIET_S)
                    self._journal.drop_settled(spans_after=KEEP_SPANS_S, runs_after=KEEP_RUNS_S)
            except Exception as error:  # noqa: BLE001 - the next tick tries again
                COMPLAINTS.note("waiting spans cannot be written", error)
