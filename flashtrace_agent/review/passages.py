"""Which passages of a prompt a target came from: the lines with most of its influence for their length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .lines import Line
from .observation import Observation, TargetShares

_LONGEST = 300
"""Characters of a passage that are kept; a line of a tool's result may be a whole page."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A line of a prompt as the source of one target.

    Attributes:
        segment: where it stands.
        part: where in the segment.
        text: the line.
        tokens: its length.
        share: its share of the target's influence.
        density: that share in units of what a line of the length gets on average.
        above_chance: True if above 95 % of windows of the length.
    """

    segment: str
    part: str
    text: str
    tokens: int
    share: float
    density: float
    above_chance: bool


@dataclass(frozen=True, slots=True)
class LineUse:
    """A target that drew on a line.

    Attributes:
        trace_id, step_id, target: what drew on it.
        trace: the trace's name.
        text: the target's words.
        share: the line's share.
    """

    trace_id: str
    step_id: str
    target: str
    trace: str
    text: str
    share: float


def line_uses(observations: Sequence[Observation], line: Line, count: int) -> list[LineUse]:
    """Return the targets with the largest shares on a line, largest first."""
    uses = [
        LineUse(
            one.trace.id,
            one.step.id,
            target.name,
            one.trace.name,
            target.text,
            float(target.shares[one.layout.lines.index(line)]),
        )
        for one in observations
        if line in one.layout.lines
        for target in one.targets
    ]
    return sorted(uses, key=lambda use: -use.share)[:count]


def strongest_passages(
    one: Observation, target: TargetShares, count: int, segments: Sequence[str] | None = None
) -> list[Passage]:
    """Return the lines with the largest shares of a target, largest first.

    Args:
        one: the step.
        target: one of its targets.
        count: at most this many.
        segments: only lines of these segments; None for all.
    """
    lines, lengths = one.layout.lines, one.layout.lengths
    total = int(lengths.sum())
    found: list[Passage] = []
    for index in np.argsort(-target.shares, kind="stable").tolist():
        line, share = lines[index], float(target.shares[index])
        if len(found) == count or share <= 0:
            break
        if segments is not None and line.segment not in segments:
            continue
        found.append(
            Passage(
                segment=line.segment,
                part=line.part,
                text=line.text if len(line.text) <= _LONGEST else line.text[: _LONGEST - 1] + "…",
                tokens=int(lengths[index]),
                share=share,
                density=share * total / int(lengths[index]),
                above_chance=bool(target.text_above[index]),
            )
        )
    return found
