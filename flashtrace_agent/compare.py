"""Compare what two runs, or two versions of a prompt, drew on: segment by segment, line by line.

Attributions of one side are averaged, so a side may be one trace or a hundred. Prompts differ
between sides, so lines are aligned by content:

1. lines of the same segment with the same words are one row;
2. of what is left in a segment, lines that are alike (`SIMILAR`) are one row, the most alike first;
3. a single line left on each side of a segment is the same line, rewritten (a user's question);
4. the rest stands on one side only.

Only the prompt counts: the template's tokens and what the model wrote before its target are left
out, so shares need not add up to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .attribution import Attribution
from .trace import Fidelity

SIMILAR = 0.6
"""Ratio of `difflib.SequenceMatcher` from which two lines are the same line, changed."""

_MAX_ALIKE = 200  # lines of a segment on a side; aligning by likeness costs their product

Change = Literal["same", "changed", "only a", "only b"]
Key = tuple[str, str]  # a segment's name, a line's text


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the prompt on both sides.

    Attributes:
        segment: its segment's name.
        change: ``same``, ``changed``, ``only a`` or ``only b``.
        text_a: its text on side a; None where it is not there.
        text_b: the same on side b.
        share_a: mean share of the score over side a's attributions, in [0, 1].
        share_b: the same on side b.
    """

    segment: str
    change: Change
    text_a: str | None
    text_b: str | None
    share_a: float
    share_b: float

    @property
    def difference(self) -> float:
        """Share on side b less that on side a."""
        return self.share_b - self.share_a

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return asdict(self) | {"difference": self.difference}


@dataclass(frozen=True, slots=True)
class Side:
    """What was averaged on one side.

    Attributes:
        attributions: how many.
        models: names of the models, sorted; shares of different models are no like with like.
        methods: names of the methods, sorted.
        fidelity: the weakest.
    """

    attributions: int
    models: tuple[str, ...]
    methods: tuple[str, ...]
    fidelity: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides' shares for one kind of target.

    Attributes:
        target: ``tool_name``, ``argument:NAME``, ``answer``, ``reasoning`` …
        segments: rows of whole segments, without texts, by size of the difference.
        lines: rows of lines, by size of the difference.
    """

    target: str
    a: Side
    b: Side
    segments: tuple[Row, ...]
    lines: tuple[Row, ...]

    def warnings(self) -> list[str]:
        """Return what makes the comparison weak, a sentence each."""
        found = []
        if self.a.models != self.b.models:
            found.append(
                f"The sides' models differ ({', '.join(self.a.models)}; {', '.join(self.b.models)}): "
                "shares of different models are no like with like."
            )
        if self.a.methods != self.b.methods:
            found.append("The sides were attributed with different methods.")
        if "approximate" in (self.a.fidelity, self.b.fidelity):
            found.append("Token ids of one side are approximate: read its shares with care.")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "target": self.target,
            "a": asdict(self.a),
            "b": asdict(self.b),
            "warnings": self.warnings(),
            "segments": [row.to_dict() for row in self.segments],
            "lines": [row.to_dict() for row in self.lines],
        }


def compare(a: Iterable[Attribution], b: Iterable[Attribution]) -> list[Comparison]:
    """Compare two sides for every kind of target both have, in the order of side a."""
    of_a, of_b = _by_target(a), _by_target(b)
    return [_compare(target, of_a[target], of_b[target]) for target in of_a if target in of_b]


def _by_target(attributions: Iterable[Attribution]) -> dict[str, list[Attribution]]:
    found: dict[str, list[Attribution]] = {}
    for one in attributions:
        found.setdefault(one.target_name.partition("#")[0], []).append(one)  # second calls are calls too
    return found


def _compare(target: str, a: Sequence[Attribution], b: Sequence[Attribution]) -> Comparison:
    lines_a, lines_b = _mean_shares(a), _mean_shares(b)
    segments_a, segments_b = _sum_segments(lines_a), _sum_segments(lines_b)
    segments = [
        Row(name, _presence(name in segments_a, name in segments_b), None, None,
            segments_a.get(name, 0.0), segments_b.get(name, 0.0))
        for name in segments_a | segments_b
    ]  # fmt: skip
    rows = _align(lines_a, lines_b)
    return Comparison(target, _side(a), _side(b), _by_difference(segments), _by_difference(rows))


def _side(attributions: Sequence[Attribution]) -> Side:
    return Side(
        len(attributions),
        tuple(sorted({one.model for one in attributions})),
        tuple(sorted({one.method for one in attributions})),
        str(Fidelity.weakest(one.fidelity for one in attributions)),
    )


def _mean_shares(attributions: Sequence[Attribution]) -> dict[Key, float]:
    """Return each line's share of the score, averaged over attributions; 0 where it is not in one."""
    sums: dict[Key, float] = {}
    cut: dict[tuple[Any, ...], tuple[list[Key], npt.NDArray[np.intp]]] = {}
    for one in attributions:
        sequence = (one.tokens, one.segments)
        if sequence not in cut:
            cut[sequence] = _cut(one)
        keys, line_of = cut[sequence]
        inside = line_of >= 0
        masses = np.bincount(line_of[inside], one.scores[inside].astype(np.float64), len(keys))  # (n_lines,)
        for key, mass in zip(keys, masses.tolist(), strict=True):
            sums[key] = sums.get(key, 0.0) + mass
    return {key: total / len(attributions) for key, total in sums.items()}


def _cut(attribution: Attribution) -> tuple[list[Key], npt.NDArray[np.intp]]:
    """Return the lines of a prompt, and for each token (n_tokens,) the index of its line, -1 for none."""
    index: dict[Key, int] = {}
    line_of = np.full(attribution.n_tokens, -1, dtype=np.intp)
    for segment in attribution.segments:
        if segment.name == "template" or segment.message == -1:
            continue
        start = segment.span.start
        for position in range(segment.span.start, segment.span.end):
            if "\n" not in attribution.tokens[position] and position + 1 < segment.span.end:
                continue
            text = "".join(attribution.tokens[start : position + 1]).strip()
            key = (segment.name, text)
            line_of[start : position + 1] = index.setdefault(key, len(index))
            start = position + 1
    return list(index), line_of


def _sum_segments(lines: dict[Key, float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for (name, _), share in lines.items():
        sums[name] = sums.get(name, 0.0) + share
    return sums


def _align(a: dict[Key, float], b: dict[Key, float]) -> list[Row]:
    rows = [Row(name, "same", text, text, share, b[name, text])
            for (name, text), share in a.items() if (name, text) in b]  # fmt: skip
    left_a, left_b = _leftover(a, b), _leftover(b, a)
    for name in left_a | left_b:
        texts_a, texts_b = left_a.get(name, []), left_b.get(name, [])
        for one, other in _pairs(texts_a, texts_b):
            rows.append(Row(name, "changed", one, other, a[name, one], b[name, other]))
            texts_a.remove(one)
            texts_b.remove(other)
        rows += [Row(name, "only a", text, None, a[name, text], 0.0) for text in texts_a]
        rows += [Row(name, "only b", None, text, 0.0, b[name, text]) for text in texts_b]
    return [row for row in rows if row.text_a or row.text_b]


def _leftover(lines: dict[Key, float], others: dict[Key, float]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in lines:
        if (name, text) not in others:
            found.setdefault(name, []).append(text)
    return found


def _pairs(a: Sequence[str], b: Sequence[str]) -> list[tuple[str, str]]:
    """Return the lines that are one line changed, the most alike first, each line once."""
    if len(a) == 1 and len(b) == 1:
        return [(a[0], b[0])]
    alike: list[tuple[float, int, int]] = []
    for j, other in enumerate(b[:_MAX_ALIKE]):
        matcher = SequenceMatcher(b=other, autojunk=False)
        for i, one in enumerate(a[:_MAX_ALIKE]):
            matcher.set_seq1(one)
            if matcher.real_quick_ratio() >= SIMILAR and matcher.quick_ratio() >= SIMILAR:
                ratio = matcher.ratio()
                if ratio >= SIMILAR:
                    alike.append((-ratio, i, j))
    found: list[tuple[str, str]] = []
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    for _, i, j in sorted(alike):
        if i not in taken_a and j not in taken_b:
            taken_a.add(i)
            taken_b.add(j)
            found.append((a[i], b[j]))
    return found


def _presence(in_a: bool, in_b: bool) -> Change:
    if in_a and in_b:
        return "same"
    return "only a" if in_a else "only b"


def _by_difference(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: -abs(row.difference)))
