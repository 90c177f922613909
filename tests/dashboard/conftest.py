"""A store with a few runs in it, and the dashboard's app driven without a browser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import flashtrace_agent.dashboard
from flashtrace_agent.store import Store

from .agent_run import Run, build_failed_run, build_run
from .browser import serving

APP = Path(flashtrace_agent.dashboard.__path__[0]) / "app.py"


def fill(url: str, runs: Iterable[Run]) -> None:
    """Write runs with their attributions into the store at `url`."""
    with Store(url) as store:
        for run in runs:
            store.write_trace(run.trace)
            for step in run.trace.steps:
                store.write_step(step)
            for step_id, attributions in run.attributions.items():
                for attribution in attributions:
                    store.write_attribution(step_id, attribution)


@pytest.fixture(scope="session")
def good_run() -> Run:
    """A run that went well, with attributions."""
    return build_run(3, "lamp", 12)


@pytest.fixture(scope="session")
def failed_run() -> Run:
    """A run that called a tool that does not exist, without attributions."""
    return build_failed_run(2)


@pytest.fixture
def store_url(tmp_path: Path, good_run: Run, failed_run: Run) -> str:
    """The URL of a store with three runs."""
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [build_run(1), failed_run, good_run])
    return url


@pytest.fixture
def app(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app over the filled store, not run yet."""
    monkeypatch.setenv("FLASHTRACE_AGENT_STORE", store_url)
    monkeypatch.delenv("FLASHTRACE_AGENT_DASHBOARD_TOKEN", raising=False)
    return AppTest.from_file(str(APP), default_timeout=60)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, good_run: Run, failed_run: Run) -> Iterator[str]:
    """The address of a dashboard over a store with three runs."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'traces.db'}"
    fill(url, [build_run(1), failed_run, good_run])
    with serving(url) as served:
        yield served
