"""The exporter for the SDK: an agent's spans straight into the store, without a collector."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from flashtrace_agent import forking
from flashtrace_agent.redaction import Redaction, Rule

from .complaints import COMPLAINTS
from .record import SpanRecord, UnusableSpanError
from .sdk_span import read_sdk_span
from .sink import SpanSink

if TYPE_CHECKING:
    from flashtrace_agent.store import Store


_PARENTS_SINKS: list[SpanSink] = []
"""Kept for ever in a forked child, so that nobody closes what is the parent's."""


class FlashTraceSpanExporter(SpanExporter):
    """Writes agents' runs to a store as their spans end.

    Use it behind a ``BatchSpanProcessor``, so that the agent never waits for the disk. It never
    raises: what goes wrong is counted and the first of each kind logged. The store is opened with
    the first span, in whatever process that happens, so an exporter made before a fork serves
    the children.

    Args:
        store: a store or its URL; by default the one the command line uses.
        redact: regular expressions, or a function from a text to what may be written of it; applied
            to every text of a span before it is kept.
    """

    def __init__(self, store: Store | str | None = None, *, redact: Rule | None = None) -> None:
        self._given = store
        self._redaction = Redaction(redact) if redact is not None else None
        self._sink: SpanSink | None = None
        self._shut_down = False
        self._lock = threading.Lock()
        forking.survive(self)

    @property
    def problems(self) -> dict[str, int]:
        """What went wrong in this process while reading spans, and how often."""
        return COMPLAINTS.by_kind

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans; a failure is the result, never an exception."""
        if self._shut_down:
            return SpanExportResult.FAILURE
        records: list[SpanRecord] = []
        for span in spans:
            try:
                records.append(read_sdk_span(span))
            except UnusableSpanError as error:
                COMPLAINTS.note("a span has no usable ids", error)
            except Exception as error:  # noqa: BLE001 - the agent outlives every failure to record it
                COMPLAINTS.note("a span of the SDK cannot be read", error)
        try:
            self._opened().receive(records)
        except Exception as error:  # noqa: BLE001 - see above
            COMPLAINTS.note("spans cannot be kept", error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write also the runs whose root has not ended; return whether all is in the store."""
        sink = self._sink
        if sink is None:
            return True
        try:
            return sink.settle()
        except Exception as error:  # noqa: BLE001 - see above
            COMPLAINTS.note("waiting spans cannot be written", error)
            return False

    def shutdown(self) -> None:
        """Write what waits and close; spans exported afterwards are refused."""
        with self._lock:
            sink, self._sink, self._shut_down = self._sink, None, True
        if sink is None:
            return
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001 - see above
            COMPLAINTS.note("waiting spans cannot be written", error)

    def before_fork(self) -> None:
        """See `forking`: nothing to wait for; the store does."""

    def after_fork_in_parent(self) -> None:
        """See `forking`."""

    def after_fork_in_child(self) -> None:
        """Begin anew: the parent's connections must not be used in its child, nor closed there."""
        self._lock = threading.Lock()
        COMPLAINTS.renew()
        if self._sink is not None:
            _PARENTS_SINKS.append(self._sink)
            self._sink = None

    def _opened(self) -> SpanSink:
        from flashtrace_agent.store import Store  # SQLAlchemy, only where spans are written

        with self._lock:
            if self._sink is None:
                given = self._given
                own = not isinstance(given, Store)
                store = given if isinstance(given, Store) else Store(given or Store.default_url())
                self._sink = SpanSink(store, own_store=own, redaction=self._redaction)
            return self._sink
