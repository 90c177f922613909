"""What re-runs without a line showed, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from flashtrace_agent.percent import percent

MEAN_DROP = 0.1
"""Nats the recorded actions may lose on average: they stay 90 % as likely."""

WORST_DROP = math.log(2)
"""Nats any one action may lose: it stays half as likely."""

HAIR = 2 * MEAN_DROP
"""Nats of lead that an edit turns which takes `MEAN_DROP` from one token and gives as much to the other."""

TURNED = 0.1
"""Part of the sampled steps that may turn by a hair, and at least one may: more of them is no accident."""


@dataclass(frozen=True, slots=True)
class AblatedStep:
    """One step run again without a line.

    Attributes:
        action: what the step did: its calls, or its answer.
        drop: log-probability the recorded action lost, in nats; negative if it became more likely.
        stable: False if greedy decoding hangs by a hair in this step, so that any edit may turn it.
        same: whether the model, decoding greedily, does the same without the line; None where that was
            not run, because the line had failed by then.
        instead: what it does without the line where that differs.
        tokens: tokens its prompt loses with the line.
    """

    trace_id: str
    step_id: str
    action: str
    drop: float
    stable: bool
    same: bool | None
    instead: str | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Ablation:
    """What the re-runs without a line, or without several at once, showed.

    Attributes:
        steps: the sampled steps.
        tokens: mean tokens saved per call.
        mean_drop: mean of the steps' `drop`.
        worst_drop: the largest of them.
        changed: stable steps whose greedy action was seen to change; the first one ends the check.
        removable: True if no action changed and none became much less likely.
        reason: why, in a sentence.
    """

    steps: tuple[AblatedStep, ...]
    tokens: float
    mean_drop: float
    worst_drop: float
    changed: int
    removable: bool
    reason: str


def is_as_likely(drops: Sequence[float]) -> bool:
    """Tell whether the recorded actions of steps, by what each lost in nats, stay about as likely."""
    return fmean(drops) <= MEAN_DROP and max(drops) <= WORST_DROP


def judge(steps: Sequence[AblatedStep]) -> Ablation:
    """Return what follows from the steps run without a line; none, if the line was found in no message."""
    if not steps:
        return Ablation((), 0.0, 0.0, 0.0, 0, False, "The line could not be found in the messages.")
    drops = [step.drop for step in steps]
    changed = sum(step.same is False for step in steps if step.stable)
    stable = sum(step.stable for step in steps)
    turned = sum(step.same is False and not step.stable for step in steps)
    few = turned <= max(1, int(TURNED * len(steps)))
    return Ablation(
        steps=tuple(steps),
        tokens=fmean(step.tokens for step in steps),
        mean_drop=fmean(drops),
        worst_drop=max(drops),
        changed=changed,
        removable=is_as_likely(drops) and not changed and stable > 0 and few,
        reason=_reason(fmean(drops), max(drops), changed, stable, len(steps), 0 if few else turned),
    )


def _reason(mean: float, worst: float, changed: int, stable: int, count: int, turned: int) -> str:
    if worst > WORST_DROP:
        return f"A recorded action becomes {math.exp(min(worst, 50)):.1f} times less likely."
    if mean > MEAN_DROP:
        return f"The recorded actions become {percent(1 - math.exp(-mean))} less likely on average."
    if changed:
        return "The greedy action changes."
    if turned:
        return f"{turned} of {count} steps do something else, if only by a hair."
    if not stable:
        return "What every sampled step does hangs by a hair, so nothing can be said: sample more."
    if stable < count:
        return f"All {stable} stable steps do the same; {count - stable} of {count} hang by a hair."
    return f"All {count} sampled steps do the same."
