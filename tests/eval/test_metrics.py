"""The metrics against worked examples and their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.eval import metrics
from flashtrace_agent.eval.statistics import estimate, grouped_difference

CURVES = st.lists(st.floats(-50, 0), min_size=3, max_size=21).map(lambda values: np.array(values))


def test_recovery_counts_evidence_in_the_top_share() -> None:
    order = list(range(20))
    assert metrics.recovery(order, [0, 7], 0.05) == 0.5
    assert metrics.recovery(order, [0, 7], 0.40) == 1.0
    assert metrics.recovery(order, [19], 0.10) == 0.0


def test_ranking_keeps_the_text_order_of_equal_scores() -> None:
    assert metrics.ranking(np.array([0.0, 2.0, 1.0, 1.0, 3.0]), [1, 2, 3]) == [1, 2, 3]


def test_rise_of_a_curve_that_falls_at_once_and_one_that_never_does_before_the_end() -> None:
    assert metrics.rise(np.array([0.0, -9.0, -9.0, -9.0, -9.0])) == pytest.approx(0.125)
    assert metrics.rise(np.array([0.0, 0.0, 0.0, 0.0, -9.0])) == pytest.approx(0.875)


def test_mas_punishes_mass_that_does_not_follow_the_fall() -> None:
    curve = np.array([0.0, -5.0, -10.0])
    aligned = metrics.mas(curve, np.array([1.0, 0.5, 0.0]))
    late = metrics.mas(curve, np.array([1.0, 1.0, 0.0]))
    assert aligned == pytest.approx(0.5)
    assert aligned is not None
    assert late is not None
    assert late > aligned


def test_a_target_the_prompt_does_not_change_has_no_deletion_metrics() -> None:
    flat = np.array([-1.0, -3.0, -1.0])
    assert metrics.rise(flat) is None
    assert metrics.mas(flat, np.array([1.0, 0.5, 0.0])) is None
    assert metrics.lost_share(-1.0, -1.0, -3.0) is None


@given(CURVES)
def test_falls_are_monotone_from_one_to_zero(curve: np.ndarray) -> None:
    fallen = metrics.fall(curve)
    if fallen is None:
        assert curve[0] - curve[-1] < metrics.LEAST_CHANGE
        return
    assert fallen[0] == 1.0
    assert fallen[-1] == 0.0
    assert (np.diff(fallen) <= 0).all()


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_rank_correlation_equals_pearsons_of_mean_ranks(values: list[int], rng: object) -> None:
    first = np.array(values, dtype=float)
    second = np.array(sorted(values, key=lambda _: rng.random()), dtype=float)  # type: ignore[attr-defined]
    found = metrics.rank_correlation(first, second)
    if len(set(values)) == 1:
        assert found is None
        return

    def ranks(data: np.ndarray) -> list[float]:
        return [np.mean([i for i, v in enumerate(sorted(data)) if v == value]) for value in data]

    assert found == pytest.approx(np.corrcoef(ranks(first), ranks(second))[0, 1], abs=1e-9)


@given(st.integers(1, 30), st.integers(2, 20))
def test_mass_left_falls_from_one_to_zero(n_tokens: int, groups: int) -> None:
    scores = np.linspace(1.0, 0.1, n_tokens)
    left = metrics.mass_left(scores, list(range(n_tokens)), groups)
    assert left[0] == 1.0
    assert left[-1] == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(left) <= 1e-12).all()


def test_intervals_hold_the_mean_and_shrink_with_examples() -> None:
    few, many = estimate([0.0, 1.0] * 5), estimate([0.0, 1.0] * 200)
    assert few is not None
    assert many is not None
    assert few.low < 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 3
    assert estimate([]) is None


def test_a_difference_every_example_shares_excludes_zero() -> None:
    values = list(np.linspace(0, 1, 20))
    same = grouped_difference([(values, values)])
    shifted = grouped_difference([([v + 0.1 for v in values], values), (values, values)])
    assert same is not None
    assert not same.excludes_zero
    assert shifted is not None
    assert shifted.excludes_zero
    assert shifted.mean == pytest.approx(0.05)
