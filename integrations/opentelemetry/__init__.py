"""Traces from OpenTelemetry spans, of the SDK in this process or received over OTLP/HTTP.

In the agent's own process::

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from flashtrace_agent.integrations.opentelemetry import FlashTraceSpanExporter

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(FlashTraceSpanExporter(store="sqlite:///traces.db")))

From any other process, with ``flashtrace-agent collect`` running and
``OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318``.
"""

from .exporter import FlashTraceSpanExporter

__all__ = ["FlashTraceSpanExporter"]
