"""Fixtures for the OpenTelemetry tests: a store, a sink, the expected runs, the recordings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from otel_ferry import handler_trace
from otel_recordings import FOLDER, SCENARIOS, TOKENIZER

from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty store in a file."""
    with Store(f"sqlite:///{tmp_path / 'traces.db'}") as opened:
        yield opened


@pytest.fixture
def sink(store: Store) -> Iterator[SpanSink]:
    """Return a sink that writes to the store."""
    sink = SpanSink(store)
    yield sink
    sink.close()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder of recorded spans, or skip where it is absent."""
    if not FOLDER.is_dir():
        pytest.skip("needs the recorded spans in ../shared/data/otel, which are not here")
    return FOLDER


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trace]:
    """Return each scenario's trace as our own LangChain handler writes it."""
    folder = tmp_path_factory.mktemp("handler")
    return {scenario: handler_trace(scenario, folder) for scenario in SCENARIOS}


@pytest.fixture(scope="session")
def qwen_tokenizer(recordings: Path) -> Any:
    """Return the tokenizer that the recorded prompt lengths were counted with."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(TOKENIZER)
