"""Does an attribution hold? What removing its top tokens costs, against as many random ones.

Pure data; `flashtrace_agent.engine.checking` runs the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Verdict = Literal["strong", "weak", "none"]

LEAST_DROP = 0.05
"""Nats below which a drop counts as none, and the least that a drop is divided by."""
STRONG_RATIO = 2.0
"""The interval of the ratio lies above this where a check is strong."""
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        unit: what was removed, ``tokens`` or ``segments``.
        removed: how many of them.
        pool: out of how many.
        measured: ``target``, or ``target and reasoning`` where influence was passed through reasoning: the
            target alone would be read off the reasoning, whatever becomes of the prompt.
        top_drop: nats the measured tokens lose when the top ones are removed.
        random_drops: nats they lose when as many others are removed, one entry a draw.
        ratio: `top_drop` over the mean random drop (at least `LEAST_DROP`), never below 0.
        low, high: 95 % bootstrap interval of the ratio over the draws.
        verdict: ``strong`` if the top costs at least `LEAST_DROP`, more than every draw, and `low` is at
            least `STRONG_RATIO`; ``none`` if it costs less than `LEAST_DROP` or no more than the mean
            draw; else ``weak``.
    """

    unit: str
    removed: int
    pool: int
    measured: str
    top_drop: float
    random_drops: tuple[float, ...]
    ratio: float
    low: float
    high: float
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; `from_dict` undoes it."""
        return {
            "verdict": self.verdict,
            "ratio": self.ratio,
            "low": self.low,
            "high": self.high,
            "top_drop": self.top_drop,
            "random_drops": list(self.random_drops),
            "unit": self.unit,
            "removed": self.removed,
            "pool": self.pool,
            "measured": self.measured,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Check:
        """Undo `to_dict`."""
        return cls(**{**data, "random_drops": tuple(data["random_drops"])})

    def sentence(self) -> str:
        """Return the finding in one plain sentence."""
        mean = sum(self.random_drops) / len(self.random_drops)
        return (
            f"{self.verdict}: without the top {self.removed} of {self.pool} {self.unit} the log-probability "
            f"of {self.measured} falls by {self.top_drop:.2f} nats, without as many others by {mean:.2f} "
            f"({self.ratio:.1f} times, 95 % interval {self.low:.1f} to {self.high:.1f})"
        )


def judge(
    unit: str, removed: int, pool: int, measured: str, top_drop: float, random_drops: tuple[float, ...]
) -> Check:
    """Return the check that drops in nats make.

    Raises:
        ValueError: if there is no random drop to compare with.
    """
    if not random_drops:
        raise ValueError("A check needs at least one random draw to compare with.")
    draws = np.asarray(random_drops, dtype=np.float64)
    means = draws[np.random.default_rng(0).integers(len(draws), size=(_RESAMPLES, len(draws)))].mean(axis=1)
    ratios = max(top_drop, 0.0) / np.maximum(means, LEAST_DROP)
    low, high = (float(bound) for bound in np.quantile(ratios, [0.025, 0.975]))
    ratio = max(top_drop, 0.0) / max(float(draws.mean()), LEAST_DROP)
    verdict: Verdict = "weak"
    if top_drop < LEAST_DROP or top_drop <= draws.mean():
        verdict = "none"
    elif low >= STRONG_RATIO and top_drop > draws.max():
        verdict = "strong"
    return Check(unit, removed, pool, measured, top_drop, random_drops, ratio, low, high, verdict)
