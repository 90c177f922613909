"""Two versions of a prompt: per line, what changed in influence, tokens and outcome, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from .ledger import known
from .lines import Line
from .observation import KINDS, Floats, Kind, Observation, call_arguments
from .selection import GroupKey, Selection, group_traces
from .statistics import FEWEST_TRACES, adjust, permutation_test
from .untrusted import untrusted_share

_SIMILAR = 0.6
"""Lines of one segment this alike are the same line, reworded."""

SIGNIFICANT = 0.05

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
    both = [*first, *second]
    traces = {trace: number for number, trace in enumerate(group_traces(both))}
    is_second = np.zeros(len(traces), dtype=bool)
    is_second[[traces[trace] for trace in group_traces(second)]] = True
    counts = (int((~is_second).sum()), int(is_second.sum()))
    testable = min(counts) >= FEWEST_TRACES
    lines = list(_paired(_lines(first), _lines(second)))
    changes = _influence_changes(lines, both, traces, is_second, testable)
    return GroupComparison(
        key=key,
        traces=counts,
        outcomes=_outcomes(both, traces, scores, is_second, testable),
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


def _lines(observations: Sequence[Observation]) -> list[Line]:
    return list(
        dict.fromkeys(line for one in observations for line in one.layout.lines if line.is_instruction)
    )


def _paired(before: Sequence[Line], after: Sequence[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """Pair lines by content, then what is left of a segment by likeness."""
    new = [line for line in after if line not in set(before)]
    for line in before:
        if line in set(after):
            yield line, line
            continue
        rivals = [(_likeness(line, other), other) for other in new]
        likeness, other = max(rivals, default=(0.0, None), key=lambda pair: pair[0])
        if other is not None and likeness >= _SIMILAR:
            new.remove(other)
            yield line, other
        else:
            yield line, None
    for line in new:
        yield None, line


def _likeness(line: Line, other: Line) -> float:
    if (line.segment, line.part) != (other.segment, other.part):
        return 0.0
    return SequenceMatcher(None, line.text, other.text, autojunk=False).ratio()


def _influence_changes(
    lines: Sequence[tuple[Line | None, Line | None]],
    observations: Sequence[Observation],
    traces: dict[str, int],
    is_second: Mask,
    testable: bool,
) -> dict[Kind, list[Change]]:
    column = {line: number for number, pair in enumerate(lines) for line in pair if line is not None}
    changes: dict[Kind, list[Change]] = {}
    for kind in KINDS:
        sums, counts = np.zeros((2, len(traces), len(lines)))
        for one in observations:
            owned = [i for i, line in enumerate(one.layout.lines) if line in column]
            index = [column[one.layout.lines[i]] for i in owned]
            for target in one.targets:
                if target.kind == kind:
                    np.add.at(sums[traces[one.trace.id]], index, target.shares[owned])
                    np.add.at(counts[traces[one.trace.id]], index, 1)
        if counts.any():
            changes[kind] = _changes(sums, counts, is_second, testable)
    return changes


def _outcomes(
    observations: Sequence[Observation],
    traces: dict[str, int],
    scores: Mapping[str, float],
    is_second: Mask,
    testable: bool,
) -> dict[str, Change]:
    names = (
        *("traces that ended well", "calls to unknown tools", "prompt tokens", "steps", "untrusted share"),
        "score given",
    )
    sums, counts = np.zeros((2, len(traces), len(names)))
    for one in observations:
        row = traces[one.trace.id]
        sums[row, 0], counts[row, 0] = one.trace.status == "ok", 1
        offered = {tool.name for tool in one.step.tools}
        calls = one.step.output.tool_calls if one.step.output is not None else ()
        sums[row, 1] += sum(call.name not in offered for call in calls)
        counts[row, 1] += len(calls)
        sums[row, 2] += sum(one.segment_tokens.values())
        counts[row, 2] += 1
        sums[row, 3] += 1
        counts[row, 3] = 1
        for target in one.targets:
            share = untrusted_share(target) if call_arguments(one.step, target.call)[0] else None
            if share is not None:
                sums[row, 4] += share
                counts[row, 4] += 1
        if one.trace.id in scores:
            sums[row, 5], counts[row, 5] = scores[one.trace.id], 1
    changes = _changes(sums, counts, is_second, testable)
    return {name: change for name, change in zip(names, changes, strict=True) if change != Change(None, None)}


def _changes(
    sums: Floats,
    counts: Floats,
    is_second: Mask,
    testable: bool,
) -> list[Change]:
    def mean(rows: Mask) -> Floats:
        total = counts[rows].sum(axis=0)
        found: Floats = np.full(total.shape, np.nan)
        np.divide(sums[rows].sum(axis=0), total, out=found, where=total > 0)
        return found

    before, after = mean(~is_second), mean(is_second)
    p = np.full(before.shape, np.nan)
    if testable:
        p = adjust(permutation_test(sums, counts, is_second)[1])
    return [Change(*map(known, values)) for values in zip(before, after, p, strict=True)]


def _tokens(observations: Sequence[Observation], line: Line | None) -> float | None:
    if line is None:
        return None
    found = [
        int(one.layout.lengths[one.layout.lines.index(line)])
        for one in observations
        if line in one.layout.lines
    ]
    return sum(found) / len(found)
