"""Whatever gives an example's tokens scores: the engine's methods, and peers for comparison only.

To add a peer: write a `Scorer` and name it in `scorer_named`.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch

from ..engine.attributor import Attributor
from ..engine.column_sums import weighted_column_sums
from ..engine.methods import METHODS
from ..errors import FlashTraceError
from ..span import Span
from .example import Example

Floats = npt.NDArray[np.float64]


class CannotRunError(FlashTraceError):
    """The method cannot score this example or run on this model; the message says why."""


class Scorer(ABC):
    """Scores tokens of examples.

    Attributes:
        name: what users write as ``--method``.
        passes: its cost in model passes, for tables.
    """

    name: str
    passes: str

    @abstractmethod
    def score(self, attributor: Attributor, example: Example) -> Floats:
        """Return float64 (N,) scores ≥ 0; only their ratios on the prompt count.

        Raises:
            CannotRunError: if this cannot be done.
        """


class MethodScorer(Scorer):
    """A method of the engine, with one hop through all that was written before the target."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.passes = METHODS[name].passes

    def score(self, attributor: Attributor, example: Example) -> Floats:
        """Score the example; see `Scorer.score`."""
        result = attributor.attribute(
            example.ids, example.target, example.through or None, hops=1, method=self.name
        )
        return result.scores.astype(np.float64)


class GenerationScorer(Scorer):
    """A method of the engine asked for all the model wrote instead of the target alone."""

    def __init__(self, method: str) -> None:
        self.name = f"{method}:generation"
        self.passes = METHODS[method].passes
        self._method = method

    def score(self, attributor: Attributor, example: Example) -> Floats:
        """Score the example; see `Scorer.score`."""
        whole = Span(example.n_prompt, len(example.ids))
        result = attributor.attribute(example.ids, whole, None, hops=0, method=self._method)
        return result.scores.astype(np.float64)


class AttentionMean(Scorer):
    """Attention from the target's rows, mean over layers and heads."""

    name = "attention"
    passes = "1 forward without the head"

    def score(self, attributor: Attributor, example: Example) -> Floats:
        """Score the example; see `Scorer.score`."""
        rows = np.concatenate([np.arange(span.start, span.end) for span in example.target])
        capture = attributor.capture(example.ids, rows)
        weights = torch.ones(1, len(rows), device=capture.layers[0].key.device)
        used = torch.arange(len(rows))
        total = np.zeros(len(example.ids))
        for layer in capture.layers:
            sums = weighted_column_sums(layer, capture.rows, used, weights)[0]  # (H, N)
            total += sums.mean(dim=0).double().cpu().numpy()
        return total


class Random(Scorer):
    """Uniform noise, seeded by the example; what any method must beat."""

    name = "random"
    passes = "none"

    def score(self, attributor: Attributor, example: Example) -> Floats:
        """Score the example; see `Scorer.score`."""
        rng = np.random.default_rng(zlib.crc32(f"{example.task} {example.seed}".encode()))
        return rng.random(len(example.ids))


_PEERS: dict[str, type[Scorer]] = {peer.name: peer for peer in (AttentionMean, Random)}
_REFERENCES = ("flashtrace-0.1.1", "flashtrace-0.1.1:span")
"""Imported only when asked for."""


def scorer_names() -> list[str]:
    """Return every name `scorer_named` knows."""
    return [
        *METHODS,
        *(f"{method}:generation" for method in METHODS),
        *_REFERENCES,
        *_PEERS,
    ]


def scorer_named(name: str) -> Scorer:
    """Return a scorer by name.

    Raises:
        FlashTraceError: if there is none of that name, listing those there are.
    """
    if name in METHODS:
        return MethodScorer(name)
    if name in _PEERS:
        return _PEERS[name]()
    if name in _REFERENCES:
        from .reference import ReferencePackage

        return ReferencePackage(name, span=name.endswith(":span"))
    method, _, scope = name.partition(":")
    if scope == "generation" and method in METHODS:
        return GenerationScorer(method)
    raise FlashTraceError(f"There is no method {name!r}; choose one of {', '.join(scorer_names())}.")
