"""The course of a check: each candidate by itself, then all that passed at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .dead_weight import DeadWeight, with_ablations
from .lines import Line
from .observation import Observation
from .sampling import sample_steps
from .verdict import Ablation

Prove = Callable[[Sequence[Line], Sequence[Observation]], Ablation | None]
"""Says what steps do without some lines: runs the model, or looks up what a run showed; None if unknown."""


def check_lines(
    dead: DeadWeight,
    observations: Sequence[Observation],
    sample: int,
    prove: Prove,
    tick: Callable[[str], None] = lambda _: None,
) -> DeadWeight:
    """Return the candidates with what is known of each; those of which nothing is known stay unchecked.

    Args:
        dead: the candidates.
        observations: the steps of the group.
        sample: steps per line.
        prove: what is known, or can be found out.
        tick: called after each line with its words.
    """
    ablations: dict[Line, Ablation] = {}
    for candidate in dead.candidates:
        line = candidate.row.line
        found = prove([line], sample_steps(observations, line, sample))
        if found is not None:
            ablations[line] = found
        tick(line.text or line.segment)
    checked = with_ablations(dead, ablations)
    if checked.unchecked or len(checked.passed) < 2:
        return checked
    return _together(checked, observations, sample, prove, tick)


def _together(
    dead: DeadWeight,
    observations: Sequence[Observation],
    sample: int,
    prove: Prove,
    tick: Callable[[str], None],
) -> DeadWeight:
    """Take all that passed out at once, putting back the one that cost most until it passes."""
    cost = {one.row.line: one.ablation.mean_drop for one in dead.passed if one.ablation}
    left = sorted(cost, key=lambda line: cost[line])
    while True:
        sampled = {one.step.id for line in left for one in sample_steps(observations, line, sample)}
        found = prove(left, [one for one in observations if one.step.id in sampled])
        if found is None:
            return dead
        tick(f"{len(left)} lines together")
        if found.removable or len(left) == 1:
            kept = tuple(line for line in cost if line not in left)
            return replace(dead, together=found, kept=kept)
        left = left[:-1]
