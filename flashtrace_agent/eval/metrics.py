"""What the outcomes say of a method. Pure functions of scores and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_CHANGE = 0.05
"""Nats the emptied prompt must cost; below it the target does not depend on the prompt, and a deletion
metric would divide noise by nothing."""


def ranking(scores: Floats, positions: Sequence[int]) -> list[int]:
    """Return `positions` by falling score; equal scores keep the text's order."""
    chosen = np.asarray(positions, dtype=np.int64)
    return [int(at) for at in chosen[np.argsort(-scores[chosen], kind="stable")]]


def recovery(order: Sequence[int], evidence: Sequence[int], share: float) -> float:
    """Return the part of `evidence` among the first `share` of `order` (at least one token)."""
    count = max(1, round(share * len(order)))
    return len(set(order[:count]) & set(evidence)) / len(evidence)


def fall(curve: Floats) -> Floats | None:
    """Return the curve's running minimum scaled to [0, 1], float64 (n,), or None if emptying costs nothing.

    ŷ_i = min over k ≤ i of clip((y_k − y_end) / (y_0 − y_end), 0, 1).
    """
    span = curve[0] - curve[-1]
    if span < LEAST_CHANGE:
        return None
    scaled = np.clip((curve - curve[-1]) / span, 0.0, 1.0)
    return np.minimum.accumulate(scaled)


def area(values: Floats) -> float:
    """Return the area under equally spaced values over [0, 1], by trapezoids."""
    return float(np.trapezoid(values, dx=1.0 / (len(values) - 1)))


def rise(curve: Floats) -> float | None:
    """Return RISE (Petsiuk et al. 2018), in [0, 1], lower is better; None if emptying costs nothing."""
    fallen = fall(curve)
    return None if fallen is None else area(fallen)


def mas(curve: Floats, mass_left: Floats) -> float | None:
    """Return the magnitude-aligned score (Walker et al. 2024), lower is better.

    The distance between the fall and the attribution mass left is added as a penalty, and the sum scaled
    to [0, 1] before its area is taken.

    Args:
        curve: log-probabilities (n,) while tokens are removed.
        mass_left: share of the attribution not yet removed (n,), from 1 to 0.
    """
    fallen = fall(curve)
    if fallen is None:
        return None
    penalised = fallen + np.abs(fallen - mass_left)
    low, high = penalised.min(), penalised.max()
    return area((penalised - low) / (high - low))


def mass_left(scores: Floats, order: Sequence[int], groups: int) -> Floats:
    """Return the share of the scores in `order` left after each of its equal groups, (groups + 1,)."""
    bounds = np.linspace(0, len(order), groups + 1).round().astype(int)
    gone = np.concatenate([[0.0], np.cumsum(np.clip(scores[np.asarray(order)], 0.0, None))])
    return 1.0 - gone[bounds] / gone[-1] if gone[-1] > 0 else 1.0 - bounds / len(order)


def lost_share(intact: float, emptied: float, edited: float) -> float | None:
    """Return which part of what emptying the prompt costs an edit costs; None if emptying costs nothing."""
    span = intact - emptied
    return None if span < LEAST_CHANGE else (intact - edited) / span


def rank_correlation(first: Floats, second: Floats) -> float | None:
    """Return Spearman's ρ with mean ranks for ties; None where either is constant."""
    one, two = _ranks(first), _ranks(second)
    one, two = one - one.mean(), two - two.mean()
    scale = np.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / scale) if scale > 0 else None


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = ends - (counts - 1) / 2.0
    return means[inverse]
