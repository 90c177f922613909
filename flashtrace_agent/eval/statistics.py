"""Means with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval over `count` examples."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Tell whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the mean and its percentile bootstrap interval (seeded), or None without values."""
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        return None
    return Estimate(float(data.mean()), *_interval(data[None])[0], len(data))


def grouped_difference(groups: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Estimate | None:
    """Return the mean over groups of the mean paired difference, first minus second.

    Examples are resampled within each group, so that every group keeps its weight.
    """
    pairs = [np.subtract(first, second) for first, second in groups if len(first)]
    if not pairs:
        return None
    rng = np.random.default_rng(0)
    means = np.mean([_means(differences, rng) for differences in pairs], axis=0)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(np.mean([differences.mean() for differences in pairs]))
    return Estimate(mean, float(low), float(high), sum(map(len, pairs)))


def _interval(rows: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    rng = np.random.default_rng(0)
    bounds = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return [tuple(map(float, np.quantile(_means(row, rng), bounds))) for row in rows]  # type: ignore[misc]


def _means(data: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    drawn = rng.integers(len(data), size=(RESAMPLES, len(data)))
    means: npt.NDArray[np.float64] = data[drawn].mean(axis=1)
    return means
