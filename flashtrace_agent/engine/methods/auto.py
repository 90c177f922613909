"""The method that measured best so far, which may change from one release to the next.

`benchmarks/FAITHFULNESS.md`, which ``flashtrace-agent eval`` writes, holds the measurements. An
`Attribution` says under ``settings["picked"]`` which method it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..request import Request
from .base import Method, MethodResult
from .walk import Walk

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture


PICKED = Walk


class Auto(Method):
    """The best method measured."""

    name = "auto"
    passes = PICKED.passes

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request with the method picked; see `Method.run`."""
        results = PICKED().run(attributor, input_ids, requests, hops, capture)
        return [replace(result, picked=PICKED.name) for result in results]
