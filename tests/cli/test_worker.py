"""``worker`` computes what is queued."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import TargetError
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace

from .conftest import Run


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch, trace: Trace, store_url: str) -> list[str]:
    """Stand in for the model: copy the attribution there is to each step asked for; return their ids."""
    with Store(store_url) as store:
        (known,) = store.get_attributions(trace.steps[0].id)
    asked: list[str] = []

    def explain_step(
        attributor: Any, step: Step, targets: Sequence[str] | None, **_: Any
    ) -> list[Attribution]:
        asked.append(step.id)
        if targets == ("nothing",):
            raise TargetError("There is no target 'nothing'.")
        if targets == ("stop",):
            os.kill(os.getpid(), signal.SIGTERM)
        return [replace(known, target_name=name) for name in targets or ["answer"]]

    monkeypatch.setattr("flashtrace_agent.explain.explain_step", explain_step)
    monkeypatch.setattr("flashtrace_agent.cli.loaded_model.load_attributor", lambda *_: None)
    return asked


def test_an_empty_queue_loads_no_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that there is nothing."""
    monkeypatch.delattr("flashtrace_agent.cli.loaded_model.load_attributor")
    result = run("worker", "--all")
    assert (result.exit_code, result.stdout) == (0, "Jobs: 0 queued, 0 leased, 0 done, 0 dead\n")
    assert "Queued 0 steps." in result.stderr


def test_queued_jobs_are_done(run: Run, trace: Trace, store_url: str, explained: list[str]) -> None:
    """Their attributions are stored."""
    with Store(store_url) as store:
        store.jobs.enqueue(trace.steps[0].id, ["argument:x"])
    result = run("worker")
    assert (result.exit_code, result.stdout) == (0, "Jobs: 0 queued, 0 leased, 1 done, 0 dead\n")
    with Store(store_url) as store:
        assert [found.target_name for found in store.get_attributions(trace.steps[0].id)] == ["argument:x"]


def test_a_filter_queues_what_is_not_attributed(run: Run, explained: list[str], trace: Trace) -> None:
    """The only step with ids has an attribution already."""
    assert "Queued 0 steps." in run("worker", "--where", "tool = sofas").stderr
    assert explained == []


def test_failures_are_told(run: Run, trace: Trace, store_url: str, explained: list[str]) -> None:
    """With the reason, and exit code 1; --retry tries again."""
    with Store(store_url) as store:
        store.jobs.enqueue(trace.steps[0].id, ["nothing"])
    result = run("worker")
    assert result.exit_code == 1
    assert "Jobs: 0 queued, 0 leased, 0 done, 1 dead" in result.stdout
    assert "There is no target 'nothing'." in result.stderr
    assert run("worker", "--retry").exit_code == 1
    assert len(explained) == 2


def test_sigterm_drains(run: Run, trace: Trace, store_url: str, explained: list[str]) -> None:
    """The job at hand is finished, the next is left."""
    with Store(store_url) as store:
        store.jobs.enqueue(trace.steps[0].id, ["stop"], priority=1)
        store.jobs.enqueue(trace.steps[0].id, ["answer"])
    result = run("worker", "--watch")
    assert (result.exit_code, result.stdout) == (0, "Jobs: 1 queued, 0 leased, 1 done, 0 dead\n")
