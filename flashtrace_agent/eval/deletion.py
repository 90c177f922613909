"""Remove prompt tokens and ask the model again how probable its own words are.

A removed token is replaced by the padding token, so that all others keep their positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.filler import filler_token
from ..engine.log_prob import force_tokens
from .example import Example

Floats = npt.NDArray[np.float64]

AT_ONCE, AT_ONCE_TOKENS = 4, 1200
"""Points of a curve asked for together, at most, and tokens that fill a forward pass well; the other points
may prove unnecessary."""


class LogProbs(NamedTuple):
    """Natural log-probabilities in nats, float64 (n,) by edit: of the target, of all the model wrote."""

    target: Floats
    whole: Floats


class Deletion:
    """One example's model, asked under edits. Equal edits are asked once.

    Attributes:
        intact: log-probabilities of the untouched prompt, each (1,).
        emptied: the same with every deletable token removed.
    """

    def __init__(self, model: Any, tokenizer: Any, example: Example) -> None:
        self._model = model
        self.example = example
        self._filler = filler_token(model, tokenizer)
        self._known: dict[bytes, tuple[float, float]] = {}
        mask = np.zeros(len(example.ids) - example.n_prompt, dtype=np.bool_)
        for span in example.target:
            mask[span.start - example.n_prompt : span.end - example.n_prompt] = True
        self._target = mask
        both = self.log_probs([(), example.deletable])
        self.intact = LogProbs(both.target[:1], both.whole[:1])
        self.emptied = LogProbs(both.target[1:], both.whole[1:])

    @property
    def asked(self) -> int:
        """How many different edits the model was run on."""
        return len(self._known)

    def log_probs(self, removals: Sequence[Sequence[int]]) -> LogProbs:
        """Return the log-probabilities after each removal of prompt positions."""
        keys = [np.asarray(sorted(removed), dtype=np.int32).tobytes() for removed in removals]
        new = {key: removed for key, removed in zip(keys, removals, strict=True) if key not in self._known}
        if new:
            edited = []
            for removed in new.values():
                ids = np.asarray(self.example.ids)
                ids[np.asarray(removed, dtype=np.int64)] = self._filler
                edited.append(ids.tolist())
            forced = force_tokens(self._model, edited, [self.example.n_prompt] * len(edited))
            for key, tokens in zip(new, forced, strict=True):
                values = tokens.log_probs.astype(np.float64)
                self._known[key] = (float(values[self._target].sum()), float(values.sum()))
        pairs = np.array([self._known[key] for key in keys], dtype=np.float64).reshape(-1, 2)
        return LogProbs(pairs[:, 0], pairs[:, 1])

    def curve(self, order: Sequence[int], groups: int) -> LogProbs:
        """Return log-probabilities (groups + 1,) while `order` is removed in equal groups, front first.

        Both curves are read as running minima down to the emptied prompt's value, so once both have been
        there the remaining points change nothing; they are not asked for and hold that value.
        """
        bounds = np.linspace(0, len(order), groups + 1).round().astype(int)
        target, whole = (
            np.full(groups + 1, self.emptied.target[0]),
            np.full(groups + 1, self.emptied.whole[0]),
        )
        target[0], whole[0] = self.intact.target[0], self.intact.whole[0]
        at_once = min(AT_ONCE, -(-AT_ONCE_TOKENS // len(self.example.ids)))
        for start in range(1, groups, at_once):
            points = range(start, min(start + at_once, groups))
            found = self.log_probs([order[: bounds[point]] for point in points])
            target[points.start : points.stop] = found.target
            whole[points.start : points.stop] = found.whole
            if target[: points.stop].min() <= target[-1] and whole[: points.stop].min() <= whole[-1]:
                break
        return LogProbs(target, whole)
