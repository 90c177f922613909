"""Fixtures for the LangChain tests: a store, a handler that writes to it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty store in a file."""
    with Store(f"sqlite:///{tmp_path / 'traces.db'}") as opened:
        yield opened


@pytest.fixture
def handler(store: Store) -> Iterator[FlashTraceCallbackHandler]:
    """Return a handler writing to the store; it must not have failed."""
    handler = FlashTraceCallbackHandler(store)
    yield handler
    assert handler.close(30)
    assert handler.errors == 0, handler._recorder.failures.by_kind
    assert handler.dropped == 0
    gc.collect()
