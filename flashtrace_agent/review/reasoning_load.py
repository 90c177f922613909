"""Does a choice hang on the reasoning before it, or straight on the prompt?

The load is the part of the target's first pass (hop 0) that stands on the step's own reasoning, the chat
template set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ledger import known
from .observation import KINDS, Observation
from .selection import group_traces
from .statistics import bootstrap_weights, ratio_intervals


@dataclass(frozen=True, slots=True)
class Load:
    """The reasoning's part in one kind of choice.

    Attributes:
        kind: ``tool``, ``argument`` or ``answer``.
        targets: attributed targets with reasoning before them.
        without: targets with none.
        share: mean part of hop 0 on the reasoning; None where no target has any.
        low, high: 95 % interval over traces; None with fewer than three.
    """

    kind: str
    targets: int
    without: int
    share: float | None
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """Say in words what it hangs on."""
        if self.share is None:
            return "no reasoning before it"
        low, high = (
            (self.share, self.share) if self.low is None or self.high is None else (self.low, self.high)
        )
        if low > 0.5:
            return "hangs on the reasoning"
        return "straight on the prompt" if high < 0.5 else "on both"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {name: getattr(self, name) for name in self.__slots__} | {"verdict": self.verdict}


def reasoning_loads(observations: Sequence[Observation]) -> list[Load]:
    """Return the load of each kind of choice that was attributed."""
    traces = {trace: number for number, trace in enumerate(group_traces(observations))}
    loads: list[Load] = []
    for kind in KINDS:
        sums, counts = np.zeros((2, len(traces), 1))
        without = 0
        for one in observations:
            for target in one.targets:
                if target.kind != kind:
                    continue
                if target.reasoning is None:
                    without += 1
                    continue
                sums[traces[one.trace.id]] += target.reasoning
                counts[traces[one.trace.id]] += 1
        targets = int(counts.sum())
        if not targets and not without:
            continue
        interval = ratio_intervals(sums, counts, bootstrap_weights(len(traces)))
        values = [known(array[0]) for array in interval]
        loads.append(Load(kind, targets, without, *values))
    return loads
