"""Information-flow routes of every target token on its own, the exhaustive classic (arXiv 2403.00824).

A span's score is the mean of its tokens' scores. It asks one target a token where `ifr` asks one a
span, and passes nothing through the reasoning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...attribution import Hop
from ..request import Request
from .base import Method, MethodResult, normalise

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture

TOKENS_AT_ONCE = 16
"""Target tokens that share a pass over the capture; bounds memory at 16 × H × N sums a layer."""


class TokenwiseInformationFlowRoutes(Method):
    """One hop a target token, averaged."""

    name = "ifr_tokenwise"
    passes = "1 forward without the head, plus a pass over the capture for every 16 target tokens"

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request; `hops` is ignored. See `Method.run`."""
        weights = np.stack([request.weights for request in requests])  # (M, N)
        rows = np.flatnonzero(weights.any(axis=0))
        capture = attributor.capture_of(input_ids, rows, capture)
        held = capture.rows.numpy()
        columns = np.searchsorted(held, rows)
        means = np.zeros_like(weights)
        for start in range(0, len(rows), TOKENS_AT_ONCE):
            chosen = slice(start, start + TOKENS_AT_ONCE)
            single = torch.zeros(len(rows[chosen]), len(held), dtype=torch.float64)
            single[torch.arange(len(single)), torch.from_numpy(columns[chosen])] = 1.0
            totals = attributor.hop_totals(capture, single).numpy()  # (tokens, N)
            means[:, : capture.n_tokens] += weights[:, rows[chosen]] @ totals
        means /= weights.sum(axis=1, keepdims=True)
        return [
            MethodResult(normalise(mean, request.sources), (Hop(mean.astype(np.float32), 0.0),))
            for mean, request in zip(means, requests, strict=True)
        ]
