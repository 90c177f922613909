"""A new store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flashtrace_agent.store import Store


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Return the URL of a store file that does not exist yet, in a folder that does not either."""
    return f"sqlite:///{tmp_path}/data/traces.db"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Return an empty store."""
    with Store(store_url) as opened:
        yield opened
