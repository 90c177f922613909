"""What a filter says of shares is what the attributions say, worked out the slow way."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store

from .examples import make_attribution, make_model_step, make_trace

SEGMENTS = ("system", "tool_result:call_0", "tool_result:call_1", "tool_schema:a:b", "user#2")
TARGETS = ("answer", "tool_name", "tool_name#2", "argument:x", "")
ASKED = ("system", "tool_result", "tool_result:call_0", "tool_schema:a", "user", "tool", "")
ASKED_TARGETS = (None, "answer", "tool_name", "tool_call", "argument", "tool")
ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip

ATTRIBUTIONS = st.fixed_dictionaries(
    {
        "step": st.integers(0, 3),
        "target": st.sampled_from(TARGETS),
        "weights": st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any),
    }
)


def make(content: dict[str, Any]) -> Attribution:
    """Return an attribution with those shares of five segments; the same target is the same attribution."""
    weights = np.array(content["weights"], np.float32)
    scores = weights / weights.sum()
    segments = tuple(Segment(name, Span(k, k + 1)) for k, name in enumerate(SEGMENTS))
    place = TARGETS.index(content["target"])
    return make_attribution(
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], target=(Span(place, place + 1),), target_name=content["target"],
        scores=np.concatenate([scores, np.zeros(6, np.float32)]), segments=segments,
    )  # fmt: skip


def is_part(name: str, of: str) -> bool:
    """Tell whether `name` is `of` or begins with it and a further part."""
    return name == of or name.startswith((of + ":", of + "#"))


def holds(found: list[Attribution], segment: str, target: str | None, order: str, share: float) -> bool:
    """Tell whether some attribution draws that much on a segment."""
    for each in found:
        wanted = ["tool_name", "argument"] if target == "tool_call" else [target]
        if target is None or any(is_part(each.target_name, str(part)) for part in wanted):
            total = sum(round(s, 4) for name, s in each.by_segment() if segment and is_part(name, segment))
            if ORDERS[order](round(total, 4), share):
                return True
    return False


@given(
    batches=st.lists(st.lists(ATTRIBUTIONS, max_size=4), max_size=3),
    segment=st.sampled_from(ASKED),
    target=st.sampled_from(ASKED_TARGETS),
    order=st.sampled_from(list(ORDERS)),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    gone=st.sets(st.integers(0, 3)),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_filters_agree_with_attributions(
    store: Store,
    batches: list[list[dict[str, Any]]],
    segment: str,
    target: str | None,
    order: str,
    share: float,
    gone: set[int],
) -> None:
    """Whatever is written, written again or deleted."""
    traces = [make_trace(str(number), milliseconds=number) for number in range(2)]
    steps = [make_model_step(traces[number % 2], number) for number in range(4)]
    where = f"segment '{segment}' share {order} {share}" + (f" of target {target}" if target else "")

    def check() -> None:
        expected = {
            step.trace_id
            for step in steps
            if holds(store.get_attributions(step.id), segment, target, order, share)
        }
        assert {summary.id for summary in store.list_traces(where=where)} == expected
        assert store.check() == []

    try:
        store.write_steps(steps)
        for batch in batches:
            store.write_attributions([(steps[content["step"]].id, make(content)) for content in batch])
        check()
        store.delete_steps([steps[number].id for number in gone])
        check()
    finally:
        store.delete_traces([trace.id for trace in traces])
    assert store.describe()["rows"]["trace_shares"] == 0


@pytest.mark.parametrize("damage", ["UPDATE trace_shares SET most = 2", "DELETE FROM trace_shares"])
def test_wrong_shares_are_a_problem(store: Store, damage: str) -> None:
    """Whoever changed them."""
    step = make_model_step(make_trace())
    store.write_step(step)
    store.write_attribution(step.id, make_attribution(step.token_ids or []))
    with store._write() as connection:
        connection.execute(text(damage))
    assert [problem.row for problem in store.check()] == [step.trace_id]


def test_shares_of_nothing_are_a_problem(store: Store) -> None:
    """As of a trace that is gone, which no attribution vouches for."""
    with store._write() as connection:
        connection.execute(text("INSERT INTO trace_shares VALUES ('', '', 'gone', 0, 0, 1)"))
    assert [problem.row for problem in store.check()] == ["gone"]
