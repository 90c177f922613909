"""Trajectories are kept with their run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import Store
from flashtrace_agent.store.jsonl import export_jsonl, import_jsonl
from flashtrace_agent.trace import Step, Trace
from flashtrace_agent.trajectory import Edge, Node, Trajectory

from .examples import make_model_step, make_trace


def traced(trace: Trace, step: Step) -> Trajectory:
    """Return a trajectory of a step's answer."""
    nodes = (
        Node("target", "target", "answer", step.id, 1.0, 0.0, end=False, text="seven \ud83d"),
        Node("user", "user", "user", None, 1.0, 0.0, end=True, words="How many"),
    )
    return Trajectory(
        trace.id, step.id, "answer", "seven", nodes, (Edge("user", "target", 1.0, "words"),), (step.id,),
        "flashtrace", 1, "smollm2",
    )  # fmt: skip


def test_what_was_written_is_read(store: Store) -> None:
    """One of the same step, target, method and hops replaces it; it goes with its run."""
    trace = make_trace()
    step = make_model_step(trace)
    found = traced(trace, step)
    with pytest.raises(StoreError, match="write the step before"):
        store.write_trajectory(found)
    store.write_trace(trace)
    store.write_step(step)
    store.write_trajectory(replace(found, model="another"))
    store.write_trajectory(found)
    store.write_trajectory(replace(found, target_name="tool_name"))
    first, second = store.get_trajectories(trace.id)
    assert first == found
    assert second.target_name == "tool_name"
    store.delete_trace(trace.id)
    assert store.get_trajectories(trace.id) == []
    assert store.describe()["rows"]["trajectories"] == 0


def test_an_export_has_them(store: Store, tmp_path: Path) -> None:
    trace = make_trace()
    step = make_model_step(trace)
    found = traced(trace, step)
    store.write_trace(trace)
    store.write_step(step)
    store.write_trajectory(found)
    path = tmp_path / "traces.jsonl"
    assert str(export_jsonl(store, path)).endswith("0 attributions and 1 trajectory")
    with Store(f"sqlite:///{tmp_path / 'other.db'}") as other:
        assert import_jsonl(other, path).trajectories == 1
        assert other.get_trajectories(trace.id) == [found]
