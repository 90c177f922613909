"""Information-flow routes of one target in one pass (arXiv 2403.00824, aggregated over a span)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..request import Request
from .base import Method, MethodResult
from .flashtrace import FlashTrace

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture


class InformationFlowRoutes(Method):
    """FlashTrace's hop 0 alone: what reaches the reasoning stays there and is not passed on."""

    name = "ifr"
    passes = "1 forward without the head, plus about 0.1 forward"

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request; `hops` is ignored."""
        plain = [replace(request, through=()) for request in requests]
        return FlashTrace().run(attributor, input_ids, plain, 0, capture)
