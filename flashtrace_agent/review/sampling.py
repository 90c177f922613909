"""Which steps the check of an idle line is run on, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .dead_weight import DeadWeight
from .lines import Line, stands_in
from .observation import Observation

SAMPLE = 8
"""Steps to run per line, unless asked for more."""


def sample_steps(observations: Sequence[Observation], line: Line, count: int) -> list[Observation]:
    """Return up to `count` steps whose prompt has a line and whose ids are known, spread over traces.

    One step of each trace in turn, traces evenly spaced over the selection; the first trace gives its
    first step, the next one its second, so that calls and answers are both among them.
    """
    by_trace: dict[str, list[Observation]] = {}
    for one in observations:
        if stands_in(line, one.layout.lines) and one.step.prompt_ids and one.step.completion_ids:
            by_trace.setdefault(one.trace.id, []).append(one)
    found: list[Observation] = []
    queues = [
        steps[turn % len(steps) :] + steps[: turn % len(steps)]
        for turn, steps in enumerate(by_trace.values())
    ]
    while queues and len(found) < count:
        wanted = count - len(found)
        stride = max(len(queues) / wanted, 1.0)
        turn = [queues[int(i * stride)] for i in range(min(wanted, len(queues)))]
        found += [queue.pop(0) for queue in turn]
        queues = [queue for queue in queues if queue]
    return found


class Cost(NamedTuple):
    """What a check costs: forward passes and the tokens they run over, decoding aside."""

    runs: int
    tokens: int


def check_cost(dead: DeadWeight, observations: Sequence[Observation], sample: int) -> Cost:
    """Return what running the model without the unchecked candidates costs: each, and the whole prompt once.

    Where each candidate was run and only what they do together is open, that is what it costs.
    """
    runs, tokens = 0, 0
    seen: set[str] = set()
    open_ones = dead.unchecked or ([] if dead.is_checked else dead.passed[:1])
    for candidate in open_ones:
        for one in sample_steps(observations, candidate.row.line, sample):
            times = 1 if one.step.id in seen else 2
            seen.add(one.step.id)
            runs += times
            tokens += times * len(one.step.token_ids or ())
    return Cost(runs, tokens)
