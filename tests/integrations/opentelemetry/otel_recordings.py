"""The recorded spans in ../shared/data/otel, by instrumentation, scenario and encoding."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from flashtrace_agent.integrations.opentelemetry.otlp_json import read_json
from flashtrace_agent.integrations.opentelemetry.otlp_protobuf import read_protobuf
from flashtrace_agent.integrations.opentelemetry.record import SpanRecord
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "otel"
TOKENIZER = FOLDER.parent / "qwen3_tokenizer"

LANGCHAIN = ("genai_langchain", "langfuse", "langsmith", "mlflow", "openinference", "openllmetry")
CHAT_ONLY = ("genai_openai", "openai_v2")
INSTRUMENTATIONS = (*LANGCHAIN, *CHAT_ONLY)
SCENARIOS = ("A", "A2", "B", "C", "D")

RECORDINGS = [
    (name, scenario)
    for name, scenario in itertools.product(INSTRUMENTATIONS, SCENARIOS)
    if not (name in CHAT_ONLY and scenario == "A2")
]


def body(instrumentation: str, scenario: str, ending: str = "pb") -> bytes:
    """Return a recorded request's body, decompressed."""
    plain = FOLDER / instrumentation / f"{scenario}.{ending}"
    if plain.is_file():
        return plain.read_bytes()
    return gzip.decompress(plain.with_name(f"{plain.name}.gz").read_bytes())


def spans(instrumentation: str, scenario: str, ending: str = "pb") -> list[SpanRecord]:
    """Return a recording's spans."""
    batch = (read_json if ending == "json" else read_protobuf)(body(instrumentation, scenario, ending))
    assert batch.rejected == 0
    return batch.records


def run_spans(instrumentation: str, scenario: str) -> list[SpanRecord]:
    """Return the spans of the recorded run, without those of the agent's creation."""
    found = spans(instrumentation, scenario)
    return [span for span in found if not span.name.startswith("create_agent")]


def shifted(found: Iterable[SpanRecord], digit: str) -> list[SpanRecord]:
    """Return the spans as another run's: every trace id begins with another digit."""
    return [replace(span, trace_id=digit + span.trace_id[1:]) for span in found]


def all_traces(store: Store) -> list[Trace]:
    """Return a store's traces, oldest first."""
    return [store.get_trace(summary.id) for summary in reversed(store.list_traces(limit=1000))]
