"""A step that is written again takes what hangs on it along, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace

from .examples import make_attribution, make_model_step, make_trace


def write(store: Store, trace: Trace, word: str, number: int = 0) -> Step:
    """Store an attributed, annotated step in which somebody says a word."""
    step = make_model_step(trace, number, input=[Message("user", "hello"), Message("user", word)])
    store.write_step(step)
    store.write_attribution(step.id, make_attribution(step.token_ids or []))
    store.annotate(trace.id, who="ada", step_id=step.id, label="bad")
    return step


def found(store: Store, where: str) -> list[str]:
    """Return the ids of the traces that a filter finds."""
    return [summary.id for summary in store.list_traces(where=where)]


def test_a_step_that_moves_takes_everything_along(store: Store) -> None:
    """As when a run is put together that was recorded in pieces."""
    first, second = make_trace("a"), make_trace("b", milliseconds=1)
    step = write(store, first, "sofas")
    write(store, second, "mirrors", 1)
    store.write_step(replace(step, trace_id=second.id))
    assert store.check() == []
    for where in ("text ~ sofas", "label = bad", "segment system share > 0.1", "tool = x or tokens > 1000"):
        assert found(store, where) == [second.id], where
    assert step.id in {said.step_id for said in store.annotations(second.id)}
    assert {summary.id: summary.steps for summary in store.list_traces()} == {first.id: 0, second.id: 2}
    store.delete_trace(first.id)
    store.delete_trace(second.id)
    assert not any(store.describe()["rows"].values())


def test_a_step_written_twice_at_once_is_in_the_last_trace(store: Store) -> None:
    """Also within one transaction."""
    first, second = make_trace("a"), make_trace("b")
    step = make_model_step(first)
    store.write_steps([step, replace(step, trace_id=second.id)])
    assert store.check() == []
    assert [len(store.get_trace(trace.id).steps) for trace in (first, second)] == [0, 1]


def test_what_came_and_went_in_one_write_can_be_written_elsewhere(store: Store) -> None:
    """A process must not take for stored what the same transaction dropped again."""
    first, second = make_trace("a"), make_trace("b")
    step = make_model_step(first)
    silent = replace(step, input=[], output=None, prompt_ids=None, completion_ids=None)
    store.write_steps([step, silent])
    assert store.describe()["rows"]["messages"] == 0
    store.write_step(make_model_step(second))
    assert store.check() == []
    assert found(store, "text ~ sofas") == [second.id]


def test_what_a_step_does_not_say_any_more_is_not_found(store: Store) -> None:
    """Nor kept; what another trace says too is found there, and comes back with the step."""
    trace, other = make_trace("a"), make_trace("b", milliseconds=1)
    step = write(store, trace, "lamps")
    kept = store.describe()["rows"]
    said = [Message("user", "hello"), Message("user", "mirrors")]
    changed = replace(step, input=said, prompt_ids=list(range(100, 800)))
    store.write_step(changed)
    assert (found(store, "text ~ mirrors"), found(store, "text ~ lamps")) == ([trace.id], [])
    assert store.describe()["rows"] | {"token_chunks": 0} == kept | {"token_chunks": 0}
    with Store(store.url) as elsewhere:  # which remembers what it has written
        elsewhere.write_step(step)
        write(elsewhere, other, "lamps", 1)
        store.write_step(changed)
        assert (found(store, "text ~ lamps"), store.check()) == ([other.id], [])
        elsewhere.write_step(step)
        assert found(store, "text ~ lamps") == [other.id, trace.id]
        assert store.check() == []


@pytest.mark.parametrize("ended", [True, False])
def test_a_step_that_ends_keeps_what_it_said(store: Store, ended: bool) -> None:
    """Its answer is added to what was there when it began, or taken back."""
    trace = make_trace()
    begun = make_model_step(trace, output=None)
    done = make_model_step(trace, output=Message("assistant", "seven"))
    store.write_step(begun if ended else done)
    store.write_step(done if ended else begun)
    assert found(store, "text ~ many") == [trace.id]
    assert found(store, "text ~ seven") == ([trace.id] if ended else [])
    assert store.check() == []
