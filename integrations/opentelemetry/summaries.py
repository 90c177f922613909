"""OpenTelemetry out: what was found, where the user already looks.

Each attribution becomes a small span in the trace of the model call it explains: a child of that
call's span and linked to it, at the moment the call ended. Backends that show evaluations find
one, too, in the event ``gen_ai.evaluation.result`` of OpenTelemetry's GenAI conventions (the
share of the strongest segment as its score).

Works for steps that came as spans: those know the ids they had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.percent import percent
from flashtrace_agent.trace import Step

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

SPAN_NAME = "flashtrace.attribution"
SCOPE = "flashtrace_agent"

TOP_SEGMENTS = 10
"""Segments named in a span, the strongest first."""


def send_summaries(
    store: Store, trace_id: str, provider: TracerProvider, *, dashboard: str | None = None
) -> int:
    """Make a span for each attribution of a trace; return how many.

    Args:
        store: where the trace is.
        trace_id: the trace's id or a prefix of it.
        provider: the SDK's provider; its processors and exporters take the spans wherever they go.
        dashboard: address of the dashboard, to link to; None for no links.

    Raises:
        StoreError: if there is no such trace.
    """
    sent = 0
    for step in store.get_trace(trace_id).steps:
        context = span_context(step)
        for attribution in store.get_attributions(step.id) if context is not None else ():
            _send(provider, context, step, attribution, dashboard)
            sent += 1
    return sent


def span_context(step: Step) -> SpanContext | None:
    """Return the context of the span a step came from; None where it came otherwise."""
    recorded = step.settings.get("otel_span")
    if not isinstance(recorded, str):
        return None
    trace, _, span = recorded.partition("/")
    try:
        context = SpanContext(int(trace, 16), int(span, 16), True, TraceFlags(TraceFlags.SAMPLED))
    except ValueError:
        return None
    return context if context.is_valid else None


def summary_attributes(
    step: Step, attribution: Attribution, dashboard: str | None = None
) -> dict[str, str | int | list[str] | list[float]]:
    """Return what a span says of an attribution, under ``flashtrace.``."""
    shares = attribution.by_segment()[:TOP_SEGMENTS]
    attributes: dict[str, str | int | list[str] | list[float]] = {
        "flashtrace.trace.id": step.trace_id,
        "flashtrace.step.id": step.id,
        "flashtrace.target": attribution.target_name,
        "flashtrace.method": attribution.method,
        "flashtrace.hops": len(attribution.hops) - 1,
        "flashtrace.model": attribution.model,
        "flashtrace.fidelity": attribution.fidelity,
        "flashtrace.fidelity.reason": step.fidelity_reason,
        "flashtrace.segment.names": [share.name for share in shares],
        "flashtrace.segment.shares": [round(share.share, 4) for share in shares],
    }
    if dashboard:
        query = urlencode({"trace": step.trace_id, "step": step.id, "target": attribution.target_name})
        attributes["flashtrace.url"] = f"{dashboard.rstrip('/')}/why?{query}"
    return attributes


class RepeatableIds(IdGenerator):
    """Span ids that are a function of what the span is about: sent twice, it is the same span.

    Use it for a provider of one's own; a provider that also makes other spans has its own ids.
    """

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._next: Iterator[int] = iter(())

    def expect(self, key: str) -> None:
        """Say what the next span is about."""
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        self._next = iter((int.from_bytes(digest, "big") or 1,))

    def generate_span_id(self) -> int:
        """Return the id of the next span."""
        return next(self._next, 0) or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return an id for a trace of its own, which no summary is."""
        return self._random.generate_trace_id()


def _send(
    provider: TracerProvider,
    context: SpanContext | None,
    step: Step,
    attribution: Attribution,
    dashboard: str | None,
) -> None:
    if context is None:
        return
    attributes = summary_attributes(step, attribution, dashboard)
    target = attribution.target_name
    if isinstance(provider.id_generator, RepeatableIds):
        provider.id_generator.expect(f"{step.id}/{target}/{attribution.method}/{len(attribution.hops)}")
    moment = _nanoseconds(step.ended_at or step.started_at)
    span = provider.get_tracer(SCOPE).start_span(
        f"{SPAN_NAME} {target}",
        context=set_span_in_context(NonRecordingSpan(context)),
        attributes=attributes,
        links=[Link(context, {"flashtrace.relation": "explains"})],
        start_time=moment,
    )
    strongest = next(iter(attribution.by_segment()), None)
    if strongest is not None:
        evaluation: dict[str, str | float] = {
            "gen_ai.evaluation.name": f"{SPAN_NAME}.{target}",
            "gen_ai.evaluation.score.value": round(strongest.share, 4),
            "gen_ai.evaluation.score.label": strongest.name,
            "gen_ai.evaluation.explanation": (
                f"{percent(strongest.share, 0)} of what caused {target} lies on {strongest.name} "
                f"({attribution.method}, {attribution.fidelity})."
            ),
        }
        span.add_event("gen_ai.evaluation.result", evaluation, moment)
    span.end(moment)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
