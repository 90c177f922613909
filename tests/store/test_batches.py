"""Many steps are written together as if they had been written one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace

from .examples import SOFAS, make_attribution, make_model_step, make_tool_step, make_trace
from .test_sharing import count_rows, dump


@pytest.fixture
def store_url(empty_copy: str) -> str:
    """Return the URL of a file, which these tests look into."""
    return empty_copy


def runs(count: int) -> tuple[list[Trace], list[Step]]:
    """Return runs with a growing history each, and all their steps."""
    traces = [make_trace(f"run {number}", milliseconds=number) for number in range(count)]
    steps: list[Step] = []
    for trace in traces:
        messages = [Message("system", "You count."), Message("user", trace.id, name="someone")]
        for number in range(4):
            output = Message("assistant", f"{trace.id} {number}")
            ids = [number] * (300 * number)
            steps.append(
                make_model_step(trace, 2 * number, input=list(messages), output=output, prompt_ids=ids)
            )
            steps.append(make_tool_step(trace, 2 * number + 1, steps[-1]))
            messages += [output, Message("user", "next")]
    return traces, steps


def test_a_batch_is_what_its_steps_are(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every row is equal, and every step reads back."""
    traces, steps = runs(3)
    store.write_steps(steps)
    with Store(f"sqlite:///{tmp_path_factory.mktemp('one')}/traces.db") as other:
        for step in steps:
            other.write_step(step)
        numbered = ("message_numbers", "message_traces")  # numbers follow the order of writing
        ours, theirs = (
            [line for line in dump(each) if not line.startswith(numbered)] for each in (store, other)
        )
        assert ours == theirs
    for trace in traces:
        assert store.get_trace(trace.id).steps == [step for step in steps if step.trace_id == trace.id]


def test_no_steps_are_written_as_none(store: Store) -> None:
    """An empty batch is no error."""
    store.write_steps([])
    assert store.list_traces() == []


def test_the_last_of_two_versions_in_a_batch_stays(store: Store) -> None:
    """As with two calls."""
    step = make_model_step(make_trace())
    store.write_steps([replace(step, status="incomplete", output=None), step])
    assert store.get_step(step.id) == step


def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    """One step that cannot be stored keeps the others out, and nothing is remembered of them."""
    _, steps = runs(2)
    bad = replace(steps[-1], started_at=steps[-1].started_at.replace(tzinfo=None))
    with pytest.raises(StoreError, match="has no time zone"):
        store.write_steps([*steps[:-1], bad])
    assert set(count_rows(store).values()) == {0}
    store.write_steps(steps)
    assert len(store.get_trace(steps[0].trace_id).steps) == 8


def test_what_another_process_deleted_is_written_again(store: Store, store_url: str) -> None:
    """What this one remembers as stored may be gone."""
    _, steps = runs(1)
    store.write_steps(steps)
    attribution = make_attribution(steps[0].token_ids or [])
    store.write_attribution(steps[0].id, attribution)
    with Store(store_url) as other:
        other.delete_trace(steps[0].trace_id)
    later = replace(steps[6], id=steps[6].id[:-1] + "z", tools=[SOFAS])
    store.write_step(later)
    assert store.get_step(later.id) == later
    with Store(store_url) as other:
        other.delete_trace(steps[0].trace_id)
    store.write_steps(steps)
    store.write_attribution(steps[0].id, attribution)
    assert store.get_trace(steps[0].trace_id).steps == steps
    assert store.list_traces(where=f"text ~ '{steps[0].trace_id}'")
