"""Attributions are kept compactly, exactly enough, once each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sqlalchemy import update

from flashtrace_agent.errors import StoreError
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.store.arrays import pack_ids, pack_scores, unpack_ids, unpack_scores
from flashtrace_agent.store.schema import AttributionRow
from flashtrace_agent.trace import Step

from .examples import make_attribution, make_model_step, make_trace


@pytest.fixture
def step(store: Store) -> Step:
    """Return a stored model step."""
    trace = make_trace()
    store.write_trace(trace)
    step = make_model_step(trace)
    store.write_step(step)
    return step


def test_an_attribution_comes_back(store: Store, step: Step) -> None:
    """Everything is equal, and scores are within 1/1000 of the largest."""
    ids = step.token_ids or []
    written = make_attribution(ids)
    store.write_attribution(step.id, written)
    (read,) = store.get_attributions(step.id)
    np.testing.assert_array_equal(read.input_ids, written.input_ids)
    assert read.scores.dtype == np.float32
    for got, expected in [
        (read.scores, written.scores),
        (read.hops[0].scores, written.hops[0].scores),
        (read.hops[1].scores, written.hops[1].scores),
    ]:
        assert np.abs(got - expected).max() <= 1e-3 * expected.max()
    assert [hop.remaining_mass for hop in read.hops] == [1.0, 0.25]
    same = (
        "tokens",
        "target",
        "through",
        "method",
        "model",
        "target_name",
        "fidelity",
        "segments",
        "settings",
        "checked",
    )
    for field in same:
        assert getattr(read, field) == getattr(written, field), field


def test_writing_again_replaces(store: Store, step: Step) -> None:
    """Same step, target, through, method and hops are one attribution; any difference is another."""
    attribution = make_attribution(step.token_ids or [])
    first = store.write_attribution(step.id, attribution)
    assert store.write_attribution(step.id, replace(attribution, model="other")) == first
    assert [read.model for read in store.get_attributions(step.id)] == ["other"]
    others = [
        replace(attribution, target=(Span(3, 4),)),
        replace(attribution, through=()),
        replace(attribution, method="gradient"),
        replace(attribution, settings={"hops": 2}),
    ]
    ids = {store.write_attribution(step.id, other) for other in others} | {first}
    assert len(ids) == 5
    assert len(store.get_attributions(step.id)) == 5


def test_attributions_come_in_the_order_of_their_targets(store: Store, step: Step) -> None:
    """Readers meet the reasoning before the call, and the call before the answer."""
    for start in (9, 2, 5):
        attribution = make_attribution(step.token_ids or [], target=(Span(start, start + 1),), target_name="")
        store.write_attribution(step.id, attribution)
    assert [read.target[0].start for read in store.get_attributions(step.id)] == [2, 5, 9]
    summaries = store.attribution_summaries(step.trace_id)[step.id]
    assert [summary["target"] for summary in summaries] == ["2:3", "5:6", "9:10"]


def test_summaries_hold_shares_without_arrays(store: Store, step: Step) -> None:
    """A listing is possible even when the arrays are unreadable."""
    attribution = make_attribution(step.token_ids or [])
    store.write_attribution(step.id, attribution)
    with store._write() as connection:
        connection.execute(update(AttributionRow).values(scores=b"\0"))
    (summary,) = store.attribution_summaries(step.trace_id)[step.id]
    expected = attribution.by_segment()
    assert [item["name"] for item in summary["segments"]] == [share.name for share in expected]
    assert [item["share"] for item in summary["segments"]] == pytest.approx(
        [s.share for s in expected], abs=1e-4
    )
    assert {key: summary[key] for key in ("target", "method", "hops", "check", "fidelity")} == {
        "target": "tool_name",
        "method": "flashtrace",
        "hops": 1,
        "check": None if attribution.checked is None else attribution.checked.to_dict(),
        "fidelity": "exact",
    }
    with pytest.raises(StoreError, match="damaged: restore"):
        store.get_attributions(step.id)


def test_a_step_must_be_stored_first(store: Store) -> None:
    """An attribution of nothing is refused."""
    with pytest.raises(StoreError, match="write the step before"):
        store.write_attribution("nowhere", make_attribution([1, 2, 3]))


def test_no_attributions_is_an_empty_answer(store: Store, step: Step) -> None:
    """Reading what was never attributed is no error."""
    assert store.get_attributions(step.id) == []
    assert store.attribution_summaries(step.trace_id) == {}


@given(hnp.arrays(np.float32, st.integers(0, 600), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
@settings(max_examples=80, deadline=None)
def test_any_scores_pack_within_a_thousandth_of_the_largest(scores: npt.NDArray[Any]) -> None:
    """Zero, negative, tiny and huge scores included."""
    read = unpack_scores(pack_scores(scores))
    assert read.shape == scores.shape
    if scores.size:
        peak = np.abs(scores).max()
        assert np.abs(read.astype(np.float64) - scores).max() <= 1e-3 * peak


def test_scores_that_are_no_numbers_stay_what_they_are() -> None:
    """A NaN is evidence of a bug elsewhere and must not be hidden or spread."""
    scores = np.asarray([1.0, np.nan, np.inf], dtype=np.float32)
    np.testing.assert_array_equal(unpack_scores(pack_scores(scores)), scores)


@given(hnp.arrays(np.uint32, st.integers(0, 300)))
@settings(deadline=None)
def test_any_ids_pack_exactly(ids: npt.NDArray[Any]) -> None:
    """Ids of 16 and of 32 bits alike."""
    np.testing.assert_array_equal(unpack_ids(pack_ids(ids)), ids)


@pytest.mark.parametrize("damage", [b"", b"x" * 16, pack_scores(np.ones(9))[:-3], b"FAx" + b"\0" * 20])
def test_damaged_bytes_are_recognized(damage: bytes) -> None:
    """No damaged array is read as if it were whole."""
    with pytest.raises(StoreError, match="restore the store from a backup"):
        unpack_scores(damage)


def test_arrays_are_compact() -> None:
    """At most 4 bytes per id of a large vocabulary and 2.5 per score, header included."""
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 150_000, 256).astype(np.uint32)
    scores = (generator.exponential(size=4000) ** 4).astype(np.float32)
    assert len(pack_ids(ids)) <= 3 * ids.size
    assert len(pack_scores(scores)) <= 2.0 * scores.size


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_shares_that_are_no_numbers_are_refused(store: Store, odd: float) -> None:
    """No filter could compare them, and no JSON hold them."""
    step = make_model_step(make_trace())
    store.write_step(step)
    good = make_attribution(step.token_ids or [])
    scores = good.scores.copy()
    scores[3] = odd
    with pytest.raises(StoreError, match="'tool_name' are no finite numbers"):
        store.write_attribution(step.id, replace(good, scores=scores))
    assert store.get_attributions(step.id) == []
