"""From spans that another program exported to traces, by way of the OpenTelemetry dialects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from flashtrace_agent.integrations.opentelemetry.assembly import assemble
from flashtrace_agent.integrations.opentelemetry.record import SpanRecord

from .imported import ImportedTrace

_MILLISECONDS = 1e11
"""Numbers above this count milliseconds since 1970 (data frames write them), those below seconds."""


def assemble_traces(records: Iterable[SpanRecord]) -> list[ImportedTrace]:
    """Return the traces that spans amount to, oldest first; those about no agent are left out."""
    by_trace: dict[str, list[SpanRecord]] = {}
    for record in records:
        by_trace.setdefault(record.trace_id, []).append(record)
    traces = [trace for spans in by_trace.values() if (trace := assemble(spans)) is not None]
    return [ImportedTrace(trace) for trace in sorted(traces, key=lambda trace: trace.started_at)]


def parse_time(value: Any) -> datetime | None:
    """Return a time written as ISO 8601 (UTC where it names no zone) or as a number; None for none.

    Raises:
        ValueError: if it is neither.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def first_of(record: Mapping[str, Any], *names: str) -> Any:
    """Return the first value there is under one of the names; None where there is none."""
    return next((record[name] for name in names if record.get(name) is not None), None)
