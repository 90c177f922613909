"""The ledger: what each segment and each line of the prompt costs, and what it buys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .chance import FILLER_RATE
from .lines import Line, is_instruction
from .observation import KINDS, Floats, Kind, Observation, TargetShares
from .selection import group_traces
from .statistics import bootstrap_weights, ratio_intervals


@dataclass(frozen=True, slots=True)
class Influence:
    """A line's part in one kind of choice.

    Attributes:
        targets: attributed targets of the kind in steps whose prompt has the line.
        share: mean share of the influence of the prompt's text, 0 to 1.
        low, high: 95 % interval of `share` over traces; None with fewer than three traces.
        chance: the share that random filler of the length gets; None for what is no instruction.
        mattered: part of the targets to which it mattered more than 95 % of filler.
        mattered_low, mattered_high: 95 % interval of `mattered`.
    """

    targets: int
    share: float
    low: float | None
    high: float | None
    chance: float | None
    mattered: float | None
    mattered_low: float | None
    mattered_high: float | None

    @property
    def above_chance(self) -> bool | None:
        """True if the share or how often it mattered is surely above filler's; None if not known."""
        if self.low is None or self.chance is None or self.mattered_low is None:
            return None
        return self.low > self.chance or self.mattered_low > FILLER_RATE

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {name: getattr(self, name) for name in self.__slots__} | {"above_chance": self.above_chance}


@dataclass(frozen=True, slots=True)
class Row:
    """A line, or with an empty text a segment as a whole.

    Attributes:
        line: what it is; results, calls and own words of the history are summed over their names.
        tokens: mean tokens in the prompts that have it.
        steps: model steps whose prompt has it.
        traces: traces with such a step.
        influence: by kind of choice, for the kinds that were attributed.
    """

    line: Line
    tokens: float
    steps: int
    traces: int
    influence: dict[Kind, Influence] = field(default_factory=dict)

    @property
    def is_segment(self) -> bool:
        """True for a segment as a whole."""
        return not self.line.part and not self.line.text

    @property
    def above_chance(self) -> bool | None:
        """True if above chance for any kind of choice, False if for none, None if not known."""
        known = [one.above_chance for one in self.influence.values()]
        if any(known):
            return True
        return None if not known or None in known else False

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "segment": self.line.segment,
            "part": self.line.part,
            "text": self.line.text,
            "tokens": round(self.tokens, 2),
            "steps": self.steps,
            "traces": self.traces,
            "influence": {kind: one.to_dict() for kind, one in self.influence.items()},
            "above_chance": self.above_chance,
        }


@dataclass(slots=True)
class _Sums:
    """Sums over the observations of one kind: (n_traces, n_rows) each."""

    counts: Floats
    shares: Floats
    mattered: Floats
    chance: Floats


def build_ledger(observations: Sequence[Observation]) -> list[Row]:
    """Return the rows of a group: segments first, then lines, each in order of appearance.

    Args:
        observations: of one group; see `flashtrace_agent.review.selection`.
    """
    rows: dict[Line, int] = {}
    for one in observations:
        for line in _rows_of(one):
            rows.setdefault(line, len(rows))
    traces = {trace: number for number, trace in enumerate(group_traces(observations))}
    tokens, steps = np.zeros((2, len(rows)))
    present = np.zeros((len(traces), len(rows)), dtype=bool)
    sums: dict[Kind, _Sums] = {kind: _Sums(*np.zeros((4, len(traces), len(rows)))) for kind in KINDS}
    for one in observations:
        trace = traces[one.trace.id]
        index = np.array([rows[line] for line in _rows_of(one)], dtype=np.int64)
        lengths = _lengths(one)
        tokens[index] += lengths
        steps[index] += 1
        present[trace, index] = True
        for target in one.targets:
            if target.kind == "call":
                continue
            shares, mattered, chance = _target_rows(one, target)
            into = sums[target.kind]
            into.counts[trace, index] += 1
            into.shares[trace, index] += shares
            into.mattered[trace, index] += mattered
            into.chance[trace, index] += chance
    influence = {kind: _influence(one, list(rows)) for kind, one in sums.items() if one.counts.any()}
    made = [
        Row(
            line=line,
            tokens=float(tokens[number] / steps[number]),
            steps=int(steps[number]),
            traces=int(present[:, number].sum()),
            influence={kind: found[number] for kind, found in influence.items() if found[number] is not None},  # type: ignore[misc]  # None is left out
        )
        for line, number in rows.items()
    ]
    return sorted(made, key=lambda row: not row.is_segment)


def instruction_lines(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that are lines of the system prompt, of schemas and of examples."""
    return (row for row in rows if not row.is_segment and row.line.is_instruction)


def segment_kind(name: str) -> str:
    """Return the name under which segments of all steps are summed: results and calls lose theirs."""
    return name if is_instruction(name) else name.partition(":")[0]


def _rows_of(one: Observation) -> list[Line]:
    """Return the step's rows: its segments, then the prompt owner's lines."""
    names = dict.fromkeys(segment_kind(line.segment) for line in one.layout.lines)
    return [Line(name, "", "") for name in names] + [line for line in one.layout.lines if line.is_instruction]


def _lengths(one: Observation) -> Floats:
    sizes: dict[str, int] = {}
    for line, length in zip(one.layout.lines, one.layout.lengths.tolist(), strict=True):
        kind = segment_kind(line.segment)
        sizes[kind] = sizes.get(kind, 0) + length
    return np.concatenate([np.array(list(sizes.values()), dtype=float), one.layout.lengths[one.layout.owned]])


def _target_rows(one: Observation, target: TargetShares) -> tuple[Floats, Floats, Floats]:
    """Return share, whether it mattered and chance share of each of the step's rows."""
    shares: dict[str, float] = {}
    chance: dict[str, float] = {}
    above: dict[str, bool] = {}
    for line, share, by_chance in zip(
        one.layout.lines, target.shares.tolist(), target.instruction_chance.tolist(), strict=True
    ):
        kind = segment_kind(line.segment)
        shares[kind] = shares.get(kind, 0.0) + share
        chance[kind] = chance.get(kind, 0.0) + by_chance
        above[kind] = above.get(kind, False) or line.segment in target.segments_above
    owned = one.layout.owned
    return (
        np.concatenate([list(shares.values()), target.shares[owned]]),
        np.concatenate([list(above.values()), target.instruction_above[owned]]).astype(float),
        np.concatenate([list(chance.values()), target.instruction_chance[owned]]),
    )


def _influence(sums: _Sums, lines: Sequence[Line]) -> list[Influence | None]:
    weights = bootstrap_weights(len(sums.counts))
    share = ratio_intervals(sums.shares, sums.counts, weights)
    mattered = ratio_intervals(sums.mattered, sums.counts, weights)
    counts = sums.counts.sum(axis=0)
    chance = np.divide(sums.chance.sum(axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    return [
        Influence(
            targets=int(counts[i]),
            share=float(share.value[i]),
            low=known(share.low[i]),
            high=known(share.high[i]),
            chance=known(chance[i]) if line.is_instruction else None,
            mattered=known(mattered.value[i]),
            mattered_low=known(mattered.low[i]),
            mattered_high=known(mattered.high[i]),
        )
        if counts[i]
        else None
        for i, line in enumerate(lines)
    ]


def known(value: float) -> float | None:
    """Return a number, or None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)
