"""Traces are listed newest first, filtered, paged, and found by the beginning of an id."""

from __future__ import annotations

import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Trace

from .examples import at, make_model_step, make_tool_step, make_trace


def test_a_summary_counts_the_steps(store: Store) -> None:
    """Steps, tools in order of first call, tokens, and the lowest fidelity."""
    trace = make_trace()
    store.write_trace(trace)
    first = make_model_step(trace, 0, prompt_ids=[1] * 10, completion_ids=[2] * 5)
    second = make_model_step(trace, 4, prompt_ids=None, fidelity=Fidelity.APPROXIMATE)
    store.write_step(first)
    store.write_step(second)
    for number, name in enumerate(["zebra", "apple", "zebra"], 1):
        step = make_tool_step(trace, number, first)
        step.name = name
        store.write_step(step)
    (summary,) = store.list_traces()
    assert summary.to_dict() == {
        "id": trace.id,
        "name": "furniture",
        "status": "ok",
        "started_at": "2025-03-01T12:00:00.123456+00:00",
        "ended_at": "2025-03-01T12:00:01.123456+00:00",
        "session": "session 1",
        "steps": 5,
        "tools": ["zebra", "apple"],
        "tokens": 15 + 703,
        "fidelity": "approximate",
        "tags": ["b", "a", "b"],
    }


def test_a_trace_without_steps_is_listed(store: Store) -> None:
    """Its counts are zero and its fidelity unknown."""
    store.write_trace(make_trace(tags=[], ended_at=None))
    (summary,) = store.list_traces()
    assert (summary.steps, summary.tools, summary.tokens, summary.fidelity) == (0, [], 0, None)


@pytest.fixture
def many(store: Store) -> list[Trace]:
    """Return ten stored traces, oldest first."""
    traces = [
        make_trace(
            f"run {number}",
            milliseconds=1000 * number,
            status="error" if number % 2 else "ok",
            session=f"s{number % 3}",
        )
        for number in range(10)
    ]
    for trace in traces:
        store.write_trace(trace)
    return traces


def test_pages_are_newest_first_and_complete(store: Store, many: list[Trace]) -> None:
    """Following `before` meets each trace once."""
    seen: list[str] = []
    before = None
    while page := store.list_traces(limit=3, before=before):
        assert len(page) <= 3
        seen += [summary.id for summary in page]
        before = seen[-1]
    assert seen == [trace.id for trace in reversed(many)]


def test_filters_combine(store: Store, many: list[Trace]) -> None:
    """Status and session both have to agree."""
    found = store.list_traces(status="error", session="s1")
    expected = [trace.id for trace in reversed(many) if trace.status == "error" and trace.session == "s1"]
    assert [summary.id for summary in found] == expected
    assert store.list_traces(session="nobody") == []


def test_a_unique_beginning_names_a_trace(store: Store, many: list[Trace]) -> None:
    """Ten characters hold the millisecond."""
    assert store.get_trace(many[4].id[:10]).id == many[4].id


def test_an_ambiguous_beginning_lists_candidates(store: Store, many: list[Trace]) -> None:
    """Five are named, an ellipsis stands for more."""
    with pytest.raises(StoreError, match="is the beginning of several trace ids") as caught:
        store.get_trace(many[0].id[:4])
    message = str(caught.value)
    assert sum(trace.id in message for trace in many) == 5
    assert message.endswith(", ….")


@pytest.mark.parametrize("text", ["zzz", "%", "_", "'; DROP TABLE traces; --", "\N{SNOWMAN}", "\0", "\udcff"])
def test_an_unknown_beginning_is_an_error(store: Store, many: list[Trace], text: str) -> None:
    """No wildcard and no quote has a meaning."""
    with pytest.raises(StoreError, match="No trace has an id that begins with"):
        store.get_trace(text)
    with pytest.raises(StoreError, match="No step has an id that begins with"):
        store.get_step(text)
    assert len(store.list_traces()) == 10


def test_an_empty_id_is_an_error(store: Store, many: list[Trace]) -> None:
    """It does not mean any trace."""
    with pytest.raises(StoreError, match="Give a trace id"):
        store.get_trace("")


def test_steps_come_in_order_of_time_not_of_id(store: Store) -> None:
    """Ids tell milliseconds, times microseconds."""
    trace = make_trace()
    late, early = make_model_step(trace, 0), make_model_step(trace, 1)
    late.started_at, early.started_at = at(5), at(2)
    store.write_step(late)
    store.write_step(early)
    assert [step.id for step in store.get_trace(trace.id).steps] == [early.id, late.id]
