"""What an OTLP request becomes, whichever its encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from flashtrace_agent.errors import FlashTraceError

from .record import EventRecord, SpanRecord, UnusableSpanError

RecordT = TypeVar("RecordT", SpanRecord, EventRecord)


class BadRequestError(FlashTraceError):
    """The body is no OTLP request; the message says what is wrong with it."""


@dataclass(slots=True)
class Batch(Generic[RecordT]):
    """The spans, or the events of spans, of one request.

    Attributes:
        records: those that can be used.
        rejected: number of those that cannot.
        reason: why the first of these was rejected; empty where none was.
    """

    records: list[RecordT] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""

    def take(self, read: Callable[..., RecordT | None], *arguments: Any) -> None:
        """Add what is read, if anything; count it where it cannot be used."""
        try:
            record = read(*arguments)
        except UnusableSpanError as error:
            self.rejected += 1
            self.reason = self.reason or str(error)
        else:
            if record is not None:
                self.records.append(record)
