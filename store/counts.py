"""How much of a store is written to files or read from them, in all and as it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from flashtrace_agent.count_of import count_of

from .whole_trace import WholeTrace

Tick = Callable[[int], None]
"""Called with how many more traces are exported, or bytes of a file imported."""


def no_tick(more: int) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Counts:
    """How much was written."""

    traces: int = 0
    steps: int = 0
    attributions: int = 0
    annotations: int = 0
    trajectories: int = 0
    jobs: int = 0
    ablations: int = 0

    def __str__(self) -> str:
        counted = [count_of(self.traces, "trace"), count_of(self.steps, "step")]
        counted.append(count_of(self.attributions, "attribution"))
        counted += [count_of(self.annotations, "annotation")] if self.annotations else []
        counted += [count_of(self.trajectories, "trajectory", "trajectories")] if self.trajectories else []
        counted += [count_of(self.jobs, "job")] if self.jobs else []
        counted += [count_of(self.ablations, "part of proofs", "parts of proofs")] if self.ablations else []
        return f"{', '.join(counted[:-1])} and {counted[-1]}"

    def add(self, whole: WholeTrace) -> None:
        """Count a trace and all that belongs to it."""
        self.add_steps(whole)
        self.annotations += len(whole.annotations)
        self.trajectories += len(whole.trajectories)
        self.jobs += len(whole.jobs)
        self.ablations += len(whole.ablations)

    def add_steps(self, whole: WholeTrace) -> None:
        """Count a trace, its steps and their attributions alone."""
        self.traces += 1
        self.steps += len(whole.trace.steps)
        self.attributions += sum(map(len, whole.attributions.values()))

    def to_dict(self) -> dict[str, int]:
        """Return a JSON-ready dict."""
        return asdict(self)
