"""What is asked of a method: checked once, so that methods need not check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SequenceError
from ..span import Span, merge_spans

_TARGETS = "give spans, as in Span(3, 7), or one weight a token"
SpansLike = Span | Sequence[Span]
TargetLike = SpansLike | Sequence[float] | npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """One target in one sequence.

    Attributes:
        target: the target's spans, merged and sorted.
        weights: float64 (N,), the weight of each target token, 0 elsewhere, the largest 1: only their
            ratios matter.
        through: reasoning spans, merged and sorted; empty for no recursion.
        sources: bool (N,), tokens that receive the final score: those before the target's last
            token that belong neither to the target nor to the reasoning.
    """

    target: tuple[Span, ...]
    weights: npt.NDArray[np.float64]
    through: tuple[Span, ...]
    sources: npt.NDArray[np.bool_]

    @property
    def n_tokens(self) -> int:
        """Length of the sequence."""
        return len(self.weights)

    @property
    def through_mask(self) -> npt.NDArray[np.bool_]:
        """Tell for each token whether it is reasoning, bool (N,)."""
        return mask_of(self.through, self.n_tokens)


def mask_of(spans: Sequence[Span], n_tokens: int) -> npt.NDArray[np.bool_]:
    """Return a bool (N,) that is True inside the spans."""
    mask = np.zeros(n_tokens, dtype=np.bool_)
    for span in spans:
        mask[span.start : span.end] = True
    return mask


def check_ids(input_ids: npt.ArrayLike, vocabulary: int, context: int | None) -> npt.NDArray[np.int32]:
    """Return token ids as int32 (N,).

    Raises:
        SequenceError: if there are none, one lies outside the vocabulary, or they exceed the context.
    """
    try:
        ids = np.asarray(input_ids)
    except ValueError as error:
        raise SequenceError("Token ids must be one sequence, not several of different lengths.") from error
    if ids.ndim != 1:
        raise SequenceError(
            f"Token ids must be one-dimensional, not of shape {ids.shape}; pass one sequence without padding."
        )
    if not len(ids):
        raise SequenceError("There are no token ids; pass prompt + completion.")
    if not np.issubdtype(ids.dtype, np.integer):
        raise SequenceError(f"Token ids must be integers, not {ids.dtype}.")
    outside = np.flatnonzero((ids < 0) | (ids >= vocabulary))
    if len(outside):
        at = int(outside[0])
        raise SequenceError(
            f"Token {at} has id {int(ids[at])}, outside the model's vocabulary of {vocabulary}; "
            "use the tokenizer that belongs to the model."
        )
    if context is not None and len(ids) > context:
        raise SequenceError(
            f"The sequence has {len(ids):,} tokens, but the model's context is {context:,}; shorten it."
        )
    return ids.astype(np.int32)


def make_requests(
    n_tokens: int, targets: Sequence[TargetLike], through: Sequence[SpansLike | None] | None
) -> list[Request]:
    """Check targets and the reasoning of each against a sequence; None for no reasoning at all.

    Raises:
        SequenceError: if there is not one entry of `through` a target, or as `make_request` does.
    """
    reasoning = [None] * len(targets) if through is None else through
    if len(reasoning) != len(targets):
        raise SequenceError(
            f"There are {len(targets)} targets but the reasoning of {len(reasoning)}; "
            "give one entry of through a target, None for no recursion."
        )
    return [make_request(n_tokens, target, spans) for target, spans in zip(targets, reasoning, strict=True)]


def make_request(n_tokens: int, target: TargetLike, through: SpansLike | None) -> Request:
    """Check a target and its reasoning against a sequence.

    Raises:
        SequenceError: if a span is empty or out of range, the target overlaps the reasoning or
            lies before it, or no source token is left.
    """
    weights, spans = _target_weights(target, n_tokens)
    reasoning = merge_spans(_as_spans(through, "reasoning")) if through is not None else ()
    for span in reasoning:
        _check_range(span, n_tokens, "reasoning")
    through_mask = mask_of(reasoning, n_tokens)
    target_mask = weights > 0
    if bool((through_mask & target_mask).any()):
        at = int(np.flatnonzero(through_mask & target_mask)[0])
        raise SequenceError(f"Target and reasoning overlap at token {at}; give spans that share no token.")
    last = int(np.flatnonzero(target_mask)[-1])
    for span in reasoning:
        if span.start > last:
            raise SequenceError(
                f"The reasoning {span} comes after the target {spans[-1]}; "
                "only earlier tokens can lead to it."
            )
    sources = ~(target_mask | through_mask | mask_of(spans, n_tokens))
    sources[last:] = False
    if not bool(sources.any()):
        raise SequenceError(
            "No source token is left before the target; target and reasoning cover everything."
        )
    return Request(spans, weights, reasoning, sources)


def _target_weights(target: TargetLike, n_tokens: int) -> tuple[npt.NDArray[np.float64], tuple[Span, ...]]:
    if isinstance(target, Span) or (isinstance(target, Sequence) and target and isinstance(target[0], Span)):
        given = _as_spans(target, "target")
        for span in given:
            if not span:
                raise SequenceError(f"The target {span} is empty; there is nothing to attribute.")
            _check_range(span, n_tokens, "target")
        spans = merge_spans(given)
        return mask_of(spans, n_tokens).astype(np.float64), spans
    try:
        weights = np.asarray(target, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SequenceError(f"{target!r} is no target; {_TARGETS}.") from error
    if weights.size == 0:
        raise SequenceError("The target is empty; there is nothing to attribute.")
    if weights.shape != (n_tokens,):
        raise SequenceError(
            f"Target weights have shape {weights.shape}, but the sequence has {n_tokens} tokens; {_TARGETS}."
        )
    if not bool(np.isfinite(weights).all()) or bool((weights < 0).any()):
        raise SequenceError("Target weights must be finite and not negative.")
    if not bool((weights > 0).any()):
        raise SequenceError("All target weights are zero; there is nothing to attribute.")
    weights = weights / weights.max()  # else methods would meet weights that float32 cannot hold
    positions = np.flatnonzero(weights > 0)
    return weights, merge_spans(Span(int(at), int(at) + 1) for at in positions)


def _as_spans(spans: Any, what: str) -> list[Span]:
    given = [spans] if isinstance(spans, Span) else spans
    if not isinstance(given, Sequence) or not all(isinstance(span, Span) for span in given):
        raise SequenceError(f"{spans!r} is no {what}; give spans, as in Span(3, 7).")
    return list(given)


def _check_range(span: Span, n_tokens: int, what: str) -> None:
    if span.end > n_tokens:
        raise SequenceError(f"The {what} {span} is out of range: the sequence has {n_tokens} tokens.")
