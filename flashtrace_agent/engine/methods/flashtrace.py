"""Recursive FlashTrace attribution (arXiv 2602.01914), through any number of reasoning spans.

1. Hop 0 attributes the target; a share ρ₀ of its total falls on the reasoning tokens.
2. Hop k ≥ 1 attributes the reasoning, weighted by hop k−1's scores on it, and leaves a share ρ_k there.
3. final = I₀ + Σ_k (Π_{j<k} ρ_j) · I_k on the sources, I_k being hop k's totals scaled to sum 1.

All targets of a sequence share one capture, and each hop is one batched pass over it.
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

NEGLIGIBLE_MASS = 1e-6
"""Remaining mass below which a further hop cannot change a float32 score visibly."""


class FlashTrace(Method):
    """The paper's method with the target span as hop 0."""

    name = "flashtrace"
    passes = "1 forward without the head, plus about 0.1 forward a hop"

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request; see `Method.run`."""
        weights = np.stack([request.weights for request in requests])  # (M, N)
        reasoning = np.stack([request.through_mask for request in requests])  # (M, N)
        needed = weights.any(axis=0) | (reasoning.any(axis=0) & (hops > 0))
        rows = np.flatnonzero(needed)
        capture = attributor.capture_of(input_ids, rows, capture)
        rows = capture.rows.numpy()
        seen = capture.n_tokens  # a kept capture may end before the sequence does

        finals = np.zeros_like(weights)
        mass = np.ones(len(requests))  # Π ρ so far
        collected: list[list[Hop]] = [[] for _ in requests]
        for _ in range(hops + 1):
            totals = np.zeros_like(weights)  # (M, N)
            totals[:, :seen] = attributor.hop_totals(capture, torch.from_numpy(weights[:, rows])).numpy()
            weights = np.where(reasoning, totals, 0.0)
            for index in range(len(requests)):
                total = totals[index].sum()
                if total <= 0:
                    continue
                finals[index] += mass[index] * totals[index] / total
                mass[index] *= weights[index].sum() / total
                collected[index].append(Hop(totals[index].astype(np.float32), float(mass[index])))
                if mass[index] <= NEGLIGIBLE_MASS:
                    weights[index] = 0.0
            if not bool((weights > 0).any()):
                break
        return [
            MethodResult(normalise(final, request.sources), tuple(done))
            for final, request, done in zip(finals, requests, collected, strict=True)
        ]
