"""Chance levels, intervals and tests against slow and obvious references, and their calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.review.chance import FILLER_RATE, chance_levels
from flashtrace_agent.review.statistics import (
    DRAWS,
    SEED,
    adjust,
    bootstrap_weights,
    permutation_test,
    ratio_intervals,
)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60), st.lists(st.integers(1, 70), min_size=1, max_size=5)
)
def test_chance_levels_are_those_of_every_window(scores: list[float], lengths: list[int]) -> None:
    """Reference: cut every window out, around the end."""
    array = np.array(scores)
    found = chance_levels(array, np.array(lengths))
    for length, share, threshold in zip(lengths, found.share, found.threshold, strict=True):
        size = min(length, len(array))
        windows = sorted(float(np.roll(array, -start)[:size].sum()) for start in range(len(array)))
        assert share == pytest.approx(np.mean(windows), abs=1e-9)
        if length >= len(array):
            assert threshold == np.inf
        else:
            below = sum(window <= threshold + 1e-9 for window in windows)
            assert below >= (1 - FILLER_RATE) * len(windows)


def test_random_filler_matters_as_often_as_stated() -> None:
    """Cut a text into lines without regard to its scores: about 5 % of them are above the threshold."""
    random = np.random.default_rng(1)
    above = []
    for _ in range(300):
        scores = random.gamma(0.3, 1.0, 400)
        start = int(random.integers(0, 380))
        level = chance_levels(scores, np.array([20]))
        above.append(scores[start : start + 20].sum() > level.threshold[0])
    assert np.mean(above) == pytest.approx(FILLER_RATE, abs=0.035)


def test_intervals_are_the_percentiles_of_drawing_traces() -> None:
    """Reference: draw the traces one by one."""
    random = np.random.default_rng(2)
    counts = random.integers(1, 4, (9, 2)).astype(float)
    sums = counts * random.uniform(0, 1, (9, 2))
    weights = bootstrap_weights(9)
    found = ratio_intervals(sums, counts, weights)
    assert found.value == pytest.approx(sums.sum(axis=0) / counts.sum(axis=0))
    means = []
    for draw in np.random.default_rng(SEED).multinomial(9, np.full(9, 1 / 9), size=DRAWS):
        rows = np.repeat(np.arange(9), draw)
        means.append(sums[rows].sum(axis=0) / counts[rows].sum(axis=0))
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    assert found.low == pytest.approx(low, rel=1e-4)
    assert found.high == pytest.approx(high, rel=1e-4)


def test_two_traces_give_no_interval() -> None:
    found = ratio_intervals(np.ones((2, 1)), np.ones((2, 1)), bootstrap_weights(2))
    assert found.value[0] == 1
    assert np.isnan(found.low[0])
    assert np.isnan(found.high[0])


def test_a_permutation_test_sees_a_difference_and_is_fair_where_there_is_none() -> None:
    random = np.random.default_rng(3)
    second = np.arange(24) >= 12
    shifted = random.normal(0, 1, (24, 1)) + 3 * second[:, None]
    difference, p = permutation_test(shifted, np.ones((24, 1)), second)
    assert difference[0] > 1
    assert p[0] < 0.01
    nothing = random.normal(0, 1, (24, 400))
    _, p = permutation_test(nothing, np.ones((24, 400)), second)
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.035)


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg() -> None:
    """Worked by hand: p·m/rank, made monotone from the largest down."""
    found = adjust(np.array([0.01, 0.04, 0.03, np.nan, 0.5]))
    assert found[[0, 1, 2, 4]] == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert np.isnan(found[3])
