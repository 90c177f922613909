"""Intervals and tests over traces.

Steps of one trace resemble each other, so traces are what is drawn: intervals are percentiles of a
bootstrap that draws whole traces with replacement, tests permute whole traces between two versions.
Seeds are fixed, so a review of the same selection says the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SEED = 20_240_117
DRAWS = 1000
PERMUTATIONS = 2000
LEVEL = 0.95
FEWEST_TRACES = 3
"""Below, drawing traces says nothing about other traces: no interval, no verdict."""


class Interval(NamedTuple):
    """Estimates with their 95 % intervals, float64 (n,) each; NaN where there is none."""

    value: Floats
    low: Floats
    high: Floats


def bootstrap_weights(n_traces: int) -> npt.NDArray[np.float32]:
    """Return how often each draw takes each trace, float32 (draws, n_traces)."""
    generator = np.random.default_rng(SEED)
    return generator.multinomial(n_traces, np.full(n_traces, 1 / n_traces), size=DRAWS).astype(np.float32)


def ratio_intervals(sums: Floats, counts: Floats, weights: npt.NDArray[np.float32]) -> Interval:
    """Return the mean over observations, per column, with bootstrap intervals over traces.

    Args:
        sums: (n_traces, n), sum of each trace's observations.
        counts: (n_traces, n), how many those are.
        weights: (draws, n_traces), from `bootstrap_weights`.
    """
    total = counts.sum(axis=0)
    value = np.divide(sums.sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0)
    drawn = weights @ counts.astype(np.float32)
    drawn_sums = weights @ sums.astype(np.float32)
    means = np.divide(drawn_sums, drawn, out=np.full(drawn.shape, np.nan, np.float32), where=drawn > 0)
    low, high = np.full(total.shape, np.nan), np.full(total.shape, np.nan)
    enough = (counts > 0).sum(axis=0) >= FEWEST_TRACES
    if enough.any():
        tail = (1 - LEVEL) / 2
        low[enough], high[enough] = np.nanquantile(means[:, enough], [tail, 1 - tail], axis=0)
    return Interval(value, low, high)


def permutation_test(sums: Floats, counts: Floats, second: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the difference of means (second minus first) and its two-sided p-value, per column.

    Args:
        sums: (n_traces, n), sum of each trace's observations.
        counts: (n_traces, n), how many those are.
        second: (n_traces,), True for traces of the second version.
    """
    generator = np.random.default_rng(SEED)
    masks = np.stack([second, *(generator.permutation(second) for _ in range(PERMUTATIONS))])
    differences = _mean(masks, sums, counts) - _mean(~masks, sums, counts)  # (permutations + 1, n)
    observed = differences[0]
    # Differences equal but for rounding count as equally extreme.
    extreme = np.abs(differences[1:]) >= np.abs(observed) * (1 - 1e-9)
    usable = np.isfinite(differences[1:])
    p = ((extreme & usable).sum(axis=0) + 1) / (usable.sum(axis=0) + 1)
    return observed, np.where(np.isfinite(observed), p, np.nan)


def adjust(p: Floats) -> Floats:
    """Return Benjamini and Hochberg's adjusted p-values; NaN stays NaN."""
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    ranked = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1)
    return adjusted


def _mean(masks: npt.NDArray[np.bool_], sums: Floats, counts: Floats) -> Floats:
    chosen = masks.astype(np.float64)
    total = chosen @ counts
    means: Floats = np.divide(chosen @ sums, total, out=np.full(total.shape, np.nan), where=total > 0)
    return means
