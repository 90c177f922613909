"""What a line would get by chance: the chance level every claim of a review is held against.

Slide a window of the line's length over the text it stands in, around the end to the beginning. Each
place of the window holds as many tokens in a row, cut without regard to what they say; so the windows'
shares are what random filler of that length would get if influence did not care for the line. Their
mean is the *chance share*. A line *mattered* to a target if its share is above 95 % of the windows;
filler does so in 5 % of the targets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FILLER_RATE = 0.05
"""How often random filler matters."""

_PLACES = 256
"""Windows per length, evenly spaced; more change the 95 % point by less than it varies between steps."""


class Chance(NamedTuple):
    """Chance levels of pieces of some lengths, float64 (n,) each.

    Attributes:
        share: mean share of a window of that length.
        threshold: the share that 95 % of the windows stay below; infinite for a piece as long as the text.
    """

    share: Floats
    threshold: Floats


def chance_levels(scores: Floats, lengths: npt.NDArray[np.int64]) -> Chance:
    """Return the chance levels of pieces of `lengths` tokens (n,) in a text of `scores` (m,)."""
    m = len(scores)
    if m == 0 or not len(lengths):
        return Chance(np.zeros(len(lengths)), np.full(len(lengths), np.inf))
    unique, place = np.unique(np.minimum(lengths, m), return_inverse=True)
    around = np.concatenate([[0.0], np.cumsum(np.concatenate([scores, scores]))])  # (2m + 1,)
    offsets = np.unique(np.linspace(0, m, min(m, _PLACES), endpoint=False).astype(np.int64))
    windows = around[offsets[:, None] + unique[None, :]] - around[offsets][:, None]  # (places, lengths)
    rank = min(int(np.ceil((1 - FILLER_RATE) * len(offsets))), len(offsets) - 1)
    threshold = np.partition(windows, rank, axis=0)[rank]
    threshold = np.where(unique >= m, np.inf, threshold)
    mean = unique / m * scores.sum()
    return Chance(mean[place], threshold[place])
