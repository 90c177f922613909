"""What an attribution method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ...attribution import Hop
from ...errors import SequenceError, UnsupportedModelError
from ..request import Request

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture


@dataclass(frozen=True, slots=True)
class MethodResult:
    """Scores of one request.

    Attributes:
        scores: float64 (N,), sums to 1 over the sources (all zero if nothing reaches them).
        hops: the passes that led there.
        picked: the method that gave them, where the one asked for picks another.
    """

    scores: npt.NDArray[np.float64]
    hops: tuple[Hop, ...]
    picked: str = ""


class Method(ABC):
    """One way of scoring source tokens.

    Attributes:
        name: what users write as ``method=``.
        passes: its cost in model passes, for tables.
    """

    name: ClassVar[str]
    passes: ClassVar[str]

    @abstractmethod
    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request on one sequence, sharing whatever work they share.

        Args:
            capture: what an earlier forward left behind; a method may start from it.
        """


def check_differentiable(log_probs: Tensor) -> None:
    """Refuse log-probabilities that no gradient leads back from.

    Raises:
        UnsupportedModelError: some quantized layers round their input, and pass nothing back.
    """
    if not log_probs.requires_grad:
        raise UnsupportedModelError(
            "This model's layers pass no gradients, as those do that quantize their input; choose another "
            "method."
        )


def normalise(scores: npt.NDArray[np.float64], sources: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Keep the sources' scores and scale them to sum 1; all zero stays all zero.

    Raises:
        SequenceError: if a score is NaN or infinite.
    """
    kept = np.where(sources, scores, 0.0)
    total = kept.sum()
    if not np.isfinite(total):
        raise SequenceError(
            "The scores are NaN or infinite; load the model in bfloat16 or float32, "
            "or look for damaged weights."
        )
    return kept / total if total > 0 else kept
