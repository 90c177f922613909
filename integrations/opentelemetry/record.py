"""A span as the rest of this package sees it, whatever carried it here.

Three sources make `SpanRecord`s: OTLP protobuf, OTLP JSON and the SDK's own spans. A span that
cannot be placed (no usable trace or span id) raises `UnusableSpanError`; anything else that is
odd about it is repaired, so that one bad attribute never costs a step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.redaction import Redaction

SpanStatus = Literal["unset", "ok", "error"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NANOSECONDS = 1 << 63
_HEX_ID = re.compile("[0-9a-f]{2,64}")
_STATUS_CODES: dict[int, SpanStatus] = {1: "ok", 2: "error"}


class UnusableSpanError(FlashTraceError):
    """A span without a trace id or span id; it is rejected."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A named moment of a span, such as an exception."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span.

    Attributes:
        trace_id, span_id, parent_id: lower-case hex; the parent is None for a root.
        start, end: UTC; `end` is None where it is unknown.
        attributes: plain JSON values; bytes have become text.
        remote_parent: True where the parent is in another process, which may not report here.
        status: ``error`` where the instrumentation said so.
        resource: attributes of the process that made the span.
        scope: name of the instrumentation.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: datetime
    end: datetime | None = None
    kind: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    status: SpanStatus = "unset"
    status_message: str = ""
    resource: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""
    remote_parent: bool = False

    @property
    def key(self) -> str:
        """The span's identity across processes: two spans with the same key are the same span."""
        return f"{self.trace_id}/{self.span_id}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; `from_dict` undoes it."""
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "name": self.name,
            "start": _microseconds(self.start),
            "end": None if self.end is None else _microseconds(self.end),
            "kind": self.kind,
            "attributes": dict(self.attributes),
            "events": [[event.name, dict(event.attributes)] for event in self.events],
            "status": self.status,
            "status_message": self.status_message,
            "resource": dict(self.resource),
            "scope": self.scope,
            "remote_parent": self.remote_parent,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SpanRecord:
        """Undo `to_dict`."""
        fields = dict(data)
        fields["start"] = _EPOCH + timedelta(microseconds=data["start"])
        fields["end"] = None if data["end"] is None else _EPOCH + timedelta(microseconds=data["end"])
        fields["events"] = tuple(SpanEvent(name, attributes) for name, attributes in data["events"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event of a span that came by itself, as a log record.

    Attributes:
        trace_id, span_id: lower-case hex.
        at: nanoseconds since 1970.
    """

    trace_id: str
    span_id: str
    at: int
    event: SpanEvent


def redacted(span: SpanRecord, redaction: Redaction) -> SpanRecord:
    """Return what may be kept of a span: its ids and times, and what a rule leaves of the rest."""
    return replace(
        span,
        name=redaction.text(span.name),
        attributes=_redacted_attributes(span.attributes, redaction),
        events=tuple(redacted_event(event, redaction) for event in span.events),
        status_message=redaction.text(span.status_message),
        resource=_redacted_attributes(span.resource, redaction),
    )


def redacted_event(event: SpanEvent, redaction: Redaction) -> SpanEvent:
    """Return what may be kept of an event."""
    return SpanEvent(redaction.text(event.name), _redacted_attributes(event.attributes, redaction))


def _redacted_attributes(attributes: Mapping[str, Any], redaction: Redaction) -> dict[str, Any]:
    # Names of attributes are the instrumentation's words, not the user's.
    return {key: redaction.value(value) for key, value in attributes.items()}


def hex_id(value: str, what: str) -> str:
    """Return an id in lower case.

    Raises:
        UnusableSpanError: if it is empty, all zeros, or not hex.
    """
    text = value.lower()
    if not _HEX_ID.fullmatch(text) or not text.strip("0"):
        raise UnusableSpanError(f"A span needs a {what} id of hex digits that are not all zero.")
    return text


def parent_hex(value: str) -> str | None:
    """Return a parent's id, None where there is none or it is no id."""
    try:
        return hex_id(value, "parent")
    except UnusableSpanError:
        return None


def moment(nanoseconds: int) -> datetime:
    """Return the UTC time of a count of nanoseconds since 1970; absurd ones are clamped."""
    clamped = min(max(nanoseconds, 0), _MAX_NANOSECONDS)
    return _EPOCH + timedelta(microseconds=clamped // 1000)


def times(start: int, end: int) -> tuple[datetime, datetime | None]:
    """Return a span's start and end from nanoseconds, 0 for unknown; an end never precedes its start."""
    if not start:
        start = end
    return moment(start), moment(max(start, end)) if end else None


def has_remote_parent(flags: int) -> bool:
    """Tell what a span's OTLP flags say of its parent; False where they do not say."""
    return flags & 0x300 == 0x300


def status_of(code: int) -> SpanStatus:
    """Return the status of an OTLP status code."""
    return _STATUS_CODES.get(code, "unset")


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
