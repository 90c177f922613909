"""What both encodings of an OTLP request become."""

from __future__ import annotations

from dataclasses import dataclass, field

from flashtrace_agent.errors import FlashTraceError

from .record import SpanRecord


class BadRequestError(FlashTraceError):
    """The body is no OTLP trace request; the message says what is wrong with it."""


@dataclass(slots=True)
class SpanBatch:
    """The spans of one request.

    Attributes:
        spans: those that can be used.
        rejected: number of those that cannot.
        reason: why the first of these was rejected; empty where none was.
    """

    spans: list[SpanRecord] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""

    def reject(self, error: Exception) -> None:
        """Count a span that cannot be used."""
        self.rejected += 1
        self.reason = self.reason or str(error)
