"""Many model steps with their attributions are read at once, as they stood when reading began."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import Store, traces
from flashtrace_agent.store.steps import read_steps
from flashtrace_agent.trace import Step

from .examples import make_attribution, make_model_step, make_tool_step, make_trace

TRACES = 70
"""More steps than are read together."""


def fill(store: Store) -> list[str]:
    """Store traces of a model step, with an attribution, and a tool step; return the model steps' ids."""
    ids = []
    for number in range(TRACES):
        trace = make_trace(f"run {number}", milliseconds=number * 10, prompt_version=f"v{number % 2}")
        step = make_model_step(trace, number * 10, prompt_ids=list(range(300 + number)))
        store.write_trace(trace)
        store.write_steps([step, make_tool_step(trace, number * 10 + 1, step)])
        store.write_attribution(step.id, make_attribution(step.token_ids or []))
        ids.append(step.id)
    return ids


def test_model_steps_come_oldest_first_with_what_single_reads_give(store: Store) -> None:
    ids = fill(store)
    found = list(store.attributed_steps())
    assert [entry.step.id for entry in found] == ids
    for entry in (found[0], found[-1]):
        assert entry.step == store.get_step(entry.step.id)
        whole = store.get_trace(entry.trace.id)
        assert (entry.trace.name, entry.trace.tags) == (whole.name, whole.tags)
        (expected,) = store.get_attributions(entry.step.id)
        assert np.array_equal(entry.attributions[0].scores, expected.scores)
        assert entry.attributions[0].to_dict() == expected.to_dict()


def test_the_newest_are_chosen_by_filter_and_version(store: Store) -> None:
    ids = fill(store)
    assert [entry.step.id for entry in store.attributed_steps(last=3)] == ids[-3:]
    assert [entry.step.id for entry in store.attributed_steps(prompt_version="v1", last=2)] == [
        ids[-3],
        ids[-1],
    ]
    assert [entry.step.id for entry in store.attributed_steps(where="prompt_version = v0", last=1)] == [
        ids[-2]
    ]
    assert list(store.attributed_steps(where="tag = nowhere")) == []


def test_reading_a_trace_sees_one_state(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is deleted between two questions about it."""
    (trace_id, *_) = [store.get_step(step_id).trace_id for step_id in fill(store)[:1]]

    def read_steps_late(*given: Any) -> list[Step]:
        with Store(store.url) as other:
            other.delete_trace(trace_id)
        return read_steps(*given)

    monkeypatch.setattr(traces, "read_steps", read_steps_late)
    assert len(store.get_trace(trace_id).steps) == 2
    with pytest.raises(StoreError, match="No trace has an id"):
        store.get_trace(trace_id)


def test_what_is_written_meanwhile_does_not_show(store: Store, store_url: str) -> None:
    """Neither new steps nor deletions, though they fall between two batches."""
    fill(store)
    reading = store.attributed_steps()
    seen = [next(reading)]
    with Store(store_url) as other:
        late = make_trace("late", milliseconds=99_000)
        other.write_trace(late)
        other.write_step(make_model_step(late, 99_000))
        other.delete_trace(make_trace(f"run {TRACES - 1}", milliseconds=(TRACES - 1) * 10).id)
    seen += reading
    assert len(seen) == TRACES
    assert all(entry.attributions for entry in seen)
    assert len(list(store.attributed_steps())) == TRACES
