"""Two versions of a prompt: per line, what changed in influence, tokens and outcome, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .ledger import known
from .lines import Line
from .observation import KINDS, Floats, Kind, Observation, call_arguments
from .pairing import paired
from .selection import GroupKey, Selection, group_traces
from .statistics import FEWEST_TRACES, adjust, permutation_test
from .untrusted import untrusted_share

SIGNIFICANT = 0.05

_OUTCOMES = (
    "traces that ended well",
    "calls to unknown tools",
    "prompt tokens",
    "steps",
    "untrusted share",
    "score given",
)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """A number in two versions.

    Attributes:
        before: in the first version; None where it has none.
        after: in the second.
        p: two-sided p-value of a permutation test over traces, adjusted for the number of tests; None
            where there was nothing to test.
    """

    before: float | None
    after: float | None
    p: float | None = None

    @property
    def is_significant(self) -> bool:
        """True if the difference is hardly due to chance."""
        return self.p is not None and self.p < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class LineChange:
    """A line in two versions.

    Attributes:
        before: the line in the first version; None where it was added.
        after: the line in the second; None where it was removed.
        tokens: its tokens.
        influence: its share of influence by kind of choice.
    """

    before: Line | None
    after: Line | None
    tokens: Change
    influence: dict[Kind, Change]

    @property
    def state(self) -> str:
        """``same``, ``reworded``, ``added`` or ``removed``."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "same" if self.before == self.after else "reworded"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "state": self.state,
            "before": asdict(self.before) if self.before is not None else None,
            "after": asdict(self.after) if self.after is not None else None,
            "tokens": asdict(self.tokens),
            "influence": {kind: asdict(change) for kind, change in self.influence.items()},
        }


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """Two versions under one model and setting."""

    key: GroupKey
    traces: tuple[int, int]
    outcomes: dict[str, Change]
    lines: tuple[LineChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            **self.key._asdict(),
            "traces": list(self.traces),
            "outcomes": {name: asdict(change) for name, change in self.outcomes.items()},
            "lines": [line.to_dict() for line in self.lines],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions of a prompt; models are never mixed.

    Attributes:
        before: name of the first version.
        after: name of the second.
        groups: one comparison per model and setting that both versions have.
    """

    before: str
    after: str
    groups: tuple[GroupComparison, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "before": self.before,
            "after": self.after,
            "groups": [group.to_dict() for group in self.groups],
        }


def compare_versions(
    names: tuple[str, str],
    first: Selection,
    second: Selection,
    scores: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare two versions, each read as a selection of its own.

    Args:
        names: the two versions' names.
        first: steps of the first version.
        second: steps of the second.
        scores: by trace id, the scores that somebody gave, as `Store.scores` returns them; an outcome.
    """
    groups = [
        _compare(key, observations, second.groups[key], scores or {})
        for key, observations in first.groups.items()
        if key in second.groups
    ]
    return Comparison(*names, tuple(groups))


def _compare(
    key: GroupKey,
    first: Sequence[Observation],
    second: Sequence[Observation],
    scores: Mapping[str, float],
) -> GroupComparison:
    both = _Both(first, second)
    lines = list(paired(_lines(first), _lines(second)))
    changes = _influence_changes(both, lines)
    return GroupComparison(
        key=key,
        traces=both.traces,
        outcomes=_outcomes(both, scores),
        lines=tuple(
            LineChange(
                before,
                after,
                Change(_tokens(first, before), _tokens(second, after)),
                {kind: found[number] for kind, found in changes.items()},
            )
            for number, (before, after) in enumerate(lines)
        ),
    )


class _Both:
    """The steps of both versions, whose traces are the rows of what is summed up and compared.

    Attributes:
        observations: the steps.
        rows: each trace's row, by its id.
        traces: how many traces each version has.
    """

    def __init__(self, first: Sequence[Observation], second: Sequence[Observation]) -> None:
        self.observations = [*first, *second]
        self.rows = {trace: number for number, trace in enumerate(group_traces(self.observations))}
        self._is_second: Mask = np.zeros(len(self.rows), dtype=bool)  # (n_traces,)
        self._is_second[[self.rows[trace] for trace in group_traces(second)]] = True
        self.traces = (int((~self._is_second).sum()), int(self._is_second.sum()))

    def changes(self, sums: Floats, counts: Floats) -> list[Change]:
        """Return the change of each column's mean (n_traces, n), tested where there are traces enough."""
        before = _means(sums[~self._is_second], counts[~self._is_second])
        after = _means(sums[self._is_second], counts[self._is_second])
        p = np.full(before.shape, np.nan)
        if min(self.traces) >= FEWEST_TRACES:
            p = adjust(permutation_test(sums, counts, self._is_second)[1])
        return [Change(*map(known, values)) for values in zip(before, after, p, strict=True)]


def _means(sums: Floats, counts: Floats) -> Floats:
    """Return the mean of each column over all rows; NaN where nothing was counted."""
    total = counts.sum(axis=0)
    found: Floats = np.full(total.shape, np.nan)
    np.divide(sums.sum(axis=0), total, out=found, where=total > 0)
    return found


def _lines(observations: Sequence[Observation]) -> list[Line]:
    return list(
        dict.fromkeys(line for one in observations for line in one.layout.lines if line.is_instruction)
    )


def _influence_changes(
    both: _Both, lines: Sequence[tuple[Line | None, Line | None]]
) -> dict[Kind, list[Change]]:
    column = {line: number for number, pair in enumerate(lines) for line in pair if line is not None}
    changes: dict[Kind, list[Change]] = {}
    for kind in KINDS:
        sums, counts = np.zeros((2, len(both.rows), len(lines)))
        for one in both.observations:
            row = both.rows[one.trace.id]
            owned = [i for i, line in enumerate(one.layout.lines) if line in column]
            index = [column[one.layout.lines[i]] for i in owned]
            for target in one.targets:
                if target.kind == kind:
                    np.add.at(sums[row], index, target.shares[owned])
                    np.add.at(counts[row], index, 1)
        if counts.any():
            changes[kind] = both.changes(sums, counts)
    return changes


def _outcomes(both: _Both, scores: Mapping[str, float]) -> dict[str, Change]:
    sums, counts = np.zeros((2, len(both.rows), len(_OUTCOMES)))
    begun: set[str] = set()
    for one in both.observations:
        is_first = one.trace.id not in begun
        begun.add(one.trace.id)
        row = both.rows[one.trace.id]
        for name, total, count in _counted(one, scores, is_first=is_first):
            sums[row, _OUTCOMES.index(name)] += total
            counts[row, _OUTCOMES.index(name)] += count
    changes = zip(_OUTCOMES, both.changes(sums, counts), strict=True)
    return {name: change for name, change in changes if change != Change(None, None)}


def _counted(
    one: Observation, scores: Mapping[str, float], *, is_first: bool
) -> Iterator[tuple[str, float, int]]:
    """Yield outcomes, each with what a step adds to its sum and count; some count once a trace."""
    if is_first:
        yield "traces that ended well", one.trace.status == "ok", 1
        if one.trace.id in scores:
            yield "score given", scores[one.trace.id], 1
    yield "steps", 1, is_first
    yield "prompt tokens", sum(one.segment_tokens.values()), 1
    offered = {tool.name for tool in one.step.tools}
    calls = one.step.output.tool_calls if one.step.output is not None else ()
    yield "calls to unknown tools", sum(call.name not in offered for call in calls), len(calls)
    for target in one.targets:
        share = untrusted_share(target) if call_arguments(one.step, target.call)[0] else None
        if share is not None:
            yield "untrusted share", share, 1


def _tokens(observations: Sequence[Observation], line: Line | None) -> float | None:
    if line is None:
        return None
    found = [
        int(one.layout.lengths[one.layout.lines.index(line)])
        for one in observations
        if line in one.layout.lines
    ]
    return sum(found) / len(found)
