"""Trace a target back through a run with the model that wrote it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.errors import TargetError
from flashtrace_agent.explain import explain_step, explain_words, known_ids
from flashtrace_agent.prompt.segmentation import step_segments
from flashtrace_agent.prompt.targets import step_targets
from flashtrace_agent.segment import Segment
from flashtrace_agent.trace import Step, Trace
from flashtrace_agent.trajectory import Trajectory

from .build import build_trajectory
from .carrying import Mass
from .choice import MAIN_TARGETS

if TYPE_CHECKING:
    from flashtrace_agent.engine.attributor import Attributor


def explain_trajectory(
    attributor: Attributor,
    trace: Trace,
    step: Step,
    target: str | None = None,
    *,
    hops: int = 1,
    method: str = DEFAULT_METHOD,
    on_step: Callable[[Step], None] | None = None,
) -> Trajectory:
    """Trace a target of a step back through the run: one forward pass for each step that matters.

    Args:
        attributor: holds the model that wrote the run.
        trace: the run.
        step: a model step of it with known token ids.
        target: a name as `step_targets` gives them, or ``START:END`` in tokens; by default the
            answer, else the first call's name, else a failed call, else the reasoning.
        hops: how many times influence on a step's own words is passed on within it.
        method: a registered method.
        on_step: called with each step just before it is attributed, the target's own first.

    Raises:
        TargetError: if the step cannot be attributed or has no such target.
        SequenceError: if the ids do not fit the model.
    """
    explainer = _ModelExplainer(attributor, step.model, hops, method, on_step or (lambda _: None))
    return build_trajectory(trace, step, target or _main_target(attributor, step), explainer)


def _main_target(attributor: Attributor, step: Step) -> str:
    known_ids(step)
    targets = step_targets(attributor.tokenizer, step)
    for name in MAIN_TARGETS:
        if name in targets:
            return name
    raise TargetError(f"Step {step.id} wrote nothing that could be traced back; choose another step.")


class _ModelExplainer:
    """An `Explainer` over a loaded model, for the steps of a run that the model `writer` wrote."""

    def __init__(
        self,
        attributor: Attributor,
        writer: str | None,
        hops: int,
        method: str,
        on_step: Callable[[Step], None],
    ) -> None:
        self._attributor = attributor
        self._writer = writer
        self._hops = hops
        self._method = method
        self._on_step = on_step
        self._segments: dict[str, list[Segment]] = {}

    def named(self, step: Step, target: str) -> Attribution:
        self._on_step(step)
        return explain_step(self._attributor, step, [target], hops=self._hops, method=self._method)[0]

    def weighted(self, step: Step, weights: Sequence[Mass]) -> list[Attribution]:
        self._on_step(step)
        segments = self.segments(step)
        return explain_words(self._attributor, step, weights, segments, hops=self._hops, method=self._method)

    def segments(self, step: Step) -> list[Segment]:
        known_ids(step)
        if step.model and self._writer and step.model != self._writer:  # its ids are another tokenizer's
            raise TargetError(
                f"Step {step.id} was written by {step.model} and not by {self._writer}, so what it wrote "
                "cannot be followed."
            )
        if step.id not in self._segments:  # cutting up a long prompt takes a second
            self._segments[step.id] = step_segments(self._attributor.tokenizer, step)
        return self._segments[step.id]
