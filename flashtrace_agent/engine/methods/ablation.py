"""Ablation: how much less probable the target is without a piece of the text, the causal reference.

1. The sources are cut into pieces: lines, and long lines into runs of `LONGEST_PIECE` tokens.
2. Each piece in turn is taken out of the sequence, as if it had never been written, and the target's
   log-probability is read again (`engine/log_prob.py`, batched, sharing what comes before the piece).
3. A piece's drop in nats is shared evenly by its tokens; a rise counts as none.

It sees what one removal changes. What the text says twice costs nothing to remove once, so redundant
evidence gets little: a reference to check against, not the last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...attribution import Hop
from ...errors import SequenceError
from ...span import Span
from ..log_prob import force_tokens
from ..request import Request
from .base import Method, MethodResult, normalise

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture

LONGEST_PIECE = 32
"""Tokens after which a line is cut."""


class Ablation(Method):
    """Removal of one line at a time."""

    name = "ablation"
    passes = "1 forward over the text without a piece, for every line or 32 tokens of the sources"

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request; `hops` and `capture` are ignored. See `Method.run`."""
        results = []
        ends_line = [piece.endswith("\n") for piece in attributor.pieces(input_ids)]
        for request in requests:
            pieces = source_pieces(request.sources, ends_line)
            drops = np.clip(removal_drops(attributor.model, input_ids, pieces, request), 0.0, None)
            scores = np.zeros(len(input_ids))
            for span, drop in zip(pieces, drops, strict=True):
                scores[span.start : span.end] = drop / len(span)
            results.append(
                MethodResult(normalise(scores, request.sources), (Hop(scores.astype(np.float32), 0.0),))
            )
        return results


def source_pieces(sources: npt.NDArray[np.bool_], ends_line: Sequence[bool]) -> list[Span]:
    """Cut the sources, bool (N,), into spans that end at line ends, gaps and `LONGEST_PIECE`."""
    spans: list[Span] = []
    start = 0
    for position in range(1, len(sources) + 1):
        inside = position < len(sources) and sources[position]
        cut = not inside or ends_line[position - 1] or position - start == LONGEST_PIECE
        if sources[position - 1] and cut:
            spans.append(Span(start, position))
        if cut or not sources[position - 1]:
            start = position
    return spans


def removal_drops(
    model: Any, input_ids: Sequence[int], pieces: Sequence[Span], request: Request
) -> npt.NDArray[np.float64]:
    """Return how many nats the target's log-probability drops without each piece, float64 (pieces,).

    Weighted by the request's target weights.

    Raises:
        SequenceError: if the target starts the sequence, or a piece would take all that precedes it.
    """
    ids = list(input_ids)
    targets = np.flatnonzero(request.weights)
    first, end = int(targets[0]), int(targets[-1]) + 1
    for span in pieces:
        if first == 0 or (span.start == 0 and span.end >= first):
            raise SequenceError("Nothing precedes the target without this piece; choose a later target.")
    sequences, starts = [ids[:end]], [first]
    for span in pieces:
        sequences.append(ids[: span.start] + ids[span.end : end])
        starts.append(first - (len(span) if span.end <= first else 0))
    forced = force_tokens(model, sequences, starts)
    totals = []
    for tokens, removed in zip(forced, [None, *pieces], strict=True):
        weights = request.weights[first:end]
        if removed is not None and removed.start >= first:  # between two parts of the target
            weights = np.delete(weights, np.s_[removed.start - first : removed.end - first])
        totals.append(float(tokens.log_probs.astype(np.float64) @ weights))
    return totals[0] - np.array(totals[1:])
