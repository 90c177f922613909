"""Run a check: remove the top of an attribution, then as much at random, and ask the model again.

A removed token is replaced by the padding token, so that the others keep their positions. Tokens of the
chat template stay: without them any model is lost, whatever was said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ..attribution import Attribution
from ..check import Check, judge
from ..errors import SequenceError
from ..span import Span
from .filler import filler_token
from .log_prob import force_tokens
from .request import mask_of

if TYPE_CHECKING:
    from .attributor import Attributor

Unit = Literal["tokens", "segments"]

TOP_SHARE = 0.1
"""Share of the tokens that are removed."""
DRAWS = 16
"""Random removals compared with."""


def run_check(
    attributor: Attributor,
    attribution: Attribution,
    *,
    unit: Unit = "tokens",
    draws: int = DRAWS,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> Check:
    """Check an attribution with the model it was made with; costs a forward pass for each draw and two more.

    Args:
        unit: ``tokens`` removes the top tenth of them; ``segments`` the top segment, compared with
            every other segment, at most `draws` of them.
        draws: random removals.
        seed: of the random draws.
        tick: called with the number of passes done since the last call, for a progress bar.

    Raises:
        SequenceError: if too little stands before the target to compare with.
    """
    pool = _pool(attribution)
    rng = np.random.default_rng(seed)
    removals = (
        _tokens(attribution, pool, draws, rng) if unit == "tokens" else _segments(attribution, pool, draws)
    )
    filler = filler_token(attributor.model, attributor.tokenizer)
    ids = attribution.input_ids.astype(np.int64)
    edited = [ids.tolist()]
    for removed in removals:
        changed = ids.copy()
        changed[removed] = filler
        edited.append(changed.tolist())
    measured = mask_of((*attribution.target, *attribution.through), len(ids))
    positions = np.flatnonzero(measured)
    start, end = max(1, int(positions[0])), int(positions[-1]) + 1
    forced = force_tokens(
        attributor.model, [sequence[:end] for sequence in edited], [start] * len(edited), tick=tick
    )
    kept = measured[start:end]
    totals = [float(tokens.log_probs.astype(np.float64)[kept].sum()) for tokens in forced]
    drops = [totals[0] - total for total in totals[1:]]
    size = len(removals[0]) if unit == "tokens" else 1
    count = len(pool) if unit == "tokens" else len(_names(attribution, pool))
    what = "target and reasoning" if attribution.through else "target"
    return judge(unit, size, count, what, drops[0], tuple(drops[1:]))


def _pool(attribution: Attribution) -> npt.NDArray[np.int64]:
    """Return the positions that may be removed: sources outside the template, ascending."""
    length = attribution.n_tokens
    first = min(span.start for span in (*attribution.target, *attribution.through))
    allowed = np.zeros(length, dtype=np.bool_)
    allowed[:first] = True
    template = [segment.span for segment in attribution.segments if segment.name == "template"]
    allowed &= ~mask_of([Span(span.start, min(span.end, length)) for span in template], length)
    pool = np.flatnonzero(allowed)
    if len(pool) < 4:
        raise SequenceError(
            "Fewer than 4 tokens outside the template stand before the target; "
            "there is nothing to compare with."
        )
    return pool


def _tokens(
    attribution: Attribution, pool: npt.NDArray[np.int64], draws: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Return the top tokens, then random ones of the others, as many each time."""
    count = max(1, round(TOP_SHARE * len(pool)))
    order = np.argsort(-attribution.scores[pool], kind="stable")
    top, others = pool[order[:count]], pool[order[count:]]
    return [top, *(rng.choice(others, size=count, replace=False) for _ in range(draws))]


def _segments(
    attribution: Attribution, pool: npt.NDArray[np.int64], draws: int
) -> list[npt.NDArray[np.int64]]:
    """Return the tokens of the segment with the largest share, then those of the others."""
    names = _names(attribution, pool)
    if len(names) < 3:
        raise SequenceError("Fewer than 3 segments stand before the target; check tokens instead.")
    members = [_members(attribution, pool, name) for name in names]
    members.sort(key=lambda positions: -float(attribution.scores[positions].sum()))
    return members[: draws + 1]


def _names(attribution: Attribution, pool: npt.NDArray[np.int64]) -> list[str]:
    names = dict.fromkeys(segment.name for segment in attribution.segments)
    return [name for name in names if len(_members(attribution, pool, name))]


def _members(attribution: Attribution, pool: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
    spans = [segment.span for segment in attribution.segments if segment.name == name]
    mask = mask_of([Span(s.start, min(s.end, attribution.n_tokens)) for s in spans], attribution.n_tokens)
    return pool[mask[pool]]
