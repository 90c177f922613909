"""``flashtrace-agent send``: what was found, as spans in the tracing backend the user has."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.count_of import count_of
from flashtrace_agent.errors import FlashTraceError

from .options import StoreOption, WhereOption, open_existing_store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from flashtrace_agent.store import Store

_PAGE = 100


def send(
    trace_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="TRACE", help="Traces by id, or by --where.", show_default=False),
    ] = None,
    where: WhereOption = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="Where the backend takes OTLP over HTTP, as in http://127.0.0.1:6006/v1/traces; "
            "by default as the OTEL_EXPORTER_OTLP_… variables say, which also hold its headers.",
            show_default=False,
        ),
    ] = None,
    dashboard: Annotated[
        str | None,
        typer.Option(
            "--dashboard",
            metavar="URL",
            help="Where you run the dashboard: spans then link to it.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Send summaries of attributions to your tracing backend.

    They stand there beside the spans they explain.
    """
    if bool(trace_ids) == (where is not None):
        raise typer.BadParameter('Give either traces, or --where, as in --where "since 1d".')
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from flashtrace_agent.integrations.opentelemetry.summaries import RepeatableIds, send_summaries

    exporter = _exporter(endpoint)
    made = InMemorySpanExporter()
    provider = TracerProvider(id_generator=RepeatableIds(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    traces = spans = 0
    empty: list[str] = []
    with open_existing_store(store) as opened:
        for trace_id in trace_ids or _found(opened, where):
            sent = send_summaries(opened, trace_id, provider, dashboard=dashboard)
            if sent:
                _deliver(exporter, made)
                traces, spans = traces + 1, spans + sent
            else:
                empty.append(trace_id)
    exporter.shutdown()
    typer.echo(f"Sent {count_of(spans, 'summary', 'summaries')} of {count_of(traces, 'trace')}.")
    if trace_ids and empty:
        raise FlashTraceError(
            f"Nothing of {', '.join(empty)} can be sent: only steps that came as OpenTelemetry spans and are "
            "attributed have something to say there."
        )


def _exporter(endpoint: str | None) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError as error:
        raise FlashTraceError(
            "Sending spans needs one more package: pip install 'flashtrace-agent[otlp]'."
        ) from error
    # Its account of each retry would bury the one sentence an error gets.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return OTLPSpanExporter(endpoint=endpoint)


def _deliver(exporter: SpanExporter, made: InMemorySpanExporter) -> None:
    from opentelemetry.sdk.trace.export import SpanExportResult

    spans = made.get_finished_spans()
    made.clear()
    if exporter.export(spans) is not SpanExportResult.SUCCESS:
        raise FlashTraceError(
            "The tracing backend does not take the spans: check --endpoint (with its path, as in "
            "http://127.0.0.1:6006/v1/traces) and the headers in OTEL_EXPORTER_OTLP_HEADERS."
        )


def _found(store: Store, where: str | None) -> Iterator[str]:
    before: str | None = None
    while page := store.list_traces(limit=_PAGE, before=before, where=where):
        yield from (summary.id for summary in page)
        before = page[-1].id
