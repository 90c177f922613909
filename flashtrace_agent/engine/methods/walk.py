"""Influence as a walk from token to token, back through the reasoning until it ends at a source.

1. A token is explained by two rows in equal parts: the row before it, which predicted it, and its own,
   whose state says what it came to mean. Together they give the token's shares (`row_shares`).
2. Three walks in four start at the target's tokens, one anywhere in the reasoning: the target was written
   given all of it, also what it pays little attention to. A walk steps from each token to those it has
   its shares from. On a token of the reasoning it steps on; anywhere else it ends.
3. A source's score is the probability that the walk ends there. Pauses, tokens of nothing but spacing and
   sentence marks, get none: attention rests on them, but little changes without them.

Steps lead backwards only, so the expected visits v of the reasoning tokens solve a triangular system,
v = v₀ + vQ with Q the shares that reasoning tokens have from each other, and recursion needs no
number of hops: it is followed to its end. What is shared by all targets of a sequence is one pass over
the capture. FlashTrace (arXiv 2602.01914) is the starting point; what each difference is worth is in
docs/faithfulness.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...attribution import Hop
from ..request import Request
from .base import Method, MethodResult, normalise

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture

WRITTEN_BEFORE = 0.25
"""Part of the walks that start in the reasoning."""
SENTENCE_MARKS = frozenset(".,;!?…。，、；！？")
"""What parts sentences; no quotes, brackets, colons or signs, as code and tool calls hang on them."""
_LEAST_EXIT = 1e-6
"""Least probability of leaving a token for another one; where a model rests on one token alone, it is 0."""


class Walk(Method):
    """The probability that a walk back from the target ends at a source."""

    name = "walk"
    passes = "1 forward without the head, plus about 0.3 forward for all targets and hops"

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request; `hops` 0 stops at the first step. See `Method.run`."""
        weights = np.stack([request.weights for request in requests])  # (M, N)
        through = np.stack([request.through_mask for request in requests])  # (M, N)
        if hops == 0:
            through = np.zeros_like(through)
        explained = np.flatnonzero(weights.any(axis=0) | through.any(axis=0))  # (P,)
        before = np.maximum(explained - 1, 0)  # (P,)
        rows = np.union1d(explained, before)
        shares = attributor.row_shares(input_ids, rows, capture)  # (R, N)
        pauses = np.array([is_pause(piece) for piece in attributor.pieces(input_ids)])  # (N,)
        own, predicting = (torch.from_numpy(np.searchsorted(rows, at)) for at in (explained, before))
        with torch.inference_mode():
            steps = shares[own].add_(shares[predicting]).div_(2)  # (P, N)
            return [
                _walk(steps, explained, weights[index], through[index], _without(pauses, request.sources))
                for index, request in enumerate(requests)
            ]


def is_pause(piece: str) -> bool:
    """Tell whether a token's text is nothing but spacing and sentence marks."""
    return bool(piece) and all(letter.isspace() or letter in SENTENCE_MARKS for letter in piece)


def _without(pauses: npt.NDArray[np.bool_], sources: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the sources (N,) that are no pauses; all, where there is no other."""
    rest = sources & ~pauses
    return rest if rest.any() else sources


def _walk(
    steps: Tensor,
    explained: npt.NDArray[np.intp],
    weights: npt.NDArray[np.float64],
    through: npt.NDArray[np.bool_],
    sources: npt.NDArray[np.bool_],
) -> MethodResult:
    """Return where walks over `steps` (P, N) end that start by `weights` (N,) and pass `through` (N,)."""
    target = torch.from_numpy(weights[explained] / weights.sum()).to(steps)  # (P,)
    first = target @ steps  # (N,), where the first step from the target leads
    passed = torch.from_numpy(np.flatnonzero(through[explained])).to(steps.device)  # (T,) rows of `steps`
    if not len(passed):
        only = _padded(first, len(weights))
        return MethodResult(normalise(only.astype(np.float64), sources), (Hop(only, 0.0),))
    tokens = torch.from_numpy(explained).to(steps.device)[passed]  # (T,) their positions
    start = (1 - WRITTEN_BEFORE) * target
    start[passed] += WRITTEN_BEFORE / len(passed)
    reached = start @ steps  # (N,)
    onward = steps[passed]  # (T, N)
    inner = onward[:, tokens]  # (T, T), Q, lower triangular
    leaving = torch.eye(len(passed), device=steps.device) - inner
    leaving.diagonal().clamp_min_(_LEAST_EXIT)
    visits = torch.linalg.solve_triangular(leaving.T, reached[tokens][:, None], upper=True)  # (T, 1), v
    ends = reached + visits[:, 0] @ onward  # (N,)
    later = ends - (1 - WRITTEN_BEFORE) * first  # (N,)
    hops = (
        Hop(_padded(first, len(weights)), float(first[tokens].sum())),
        Hop(_padded(later, len(weights)), 0.0),
    )
    return MethodResult(normalise(_padded(ends, len(weights)).astype(np.float64), sources), hops)


def _padded(scores: Tensor, n_tokens: int) -> npt.NDArray[np.float32]:
    """Return scores as float32 (N,): a kept capture may end before the sequence does."""
    padded = np.zeros(n_tokens, dtype=np.float32)
    padded[: len(scores)] = scores.cpu().numpy()
    return padded
