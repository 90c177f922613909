"""Put a comparison of two prompt versions into words and tables."""

from __future__ import annotations

from collections.abc import Iterator

from flashtrace_agent.percent import percent

from .compare import Change, Comparison, GroupComparison
from .document import Cell, Section, Table, Words
from .statistics import FEWEST_TRACES
from .wording import KIND_NAMES, name_line, name_place


def comparison_findings(comparison: Comparison) -> Iterator[Words]:
    """Yield what changed, in a sentence each."""
    if not comparison.groups:
        yield Words(
            f"{comparison.before} and {comparison.after} were explained with different models or settings, "
            "so they are not compared.",
            "bad",
        )
    for group in comparison.groups:
        changed = [line for line in group.lines if any(one.is_significant for one in line.influence.values())]
        states = [line.state for line in group.lines]
        yield Words(
            f"{comparison.before} → {comparison.after}: {states.count('added')} lines added, "
            f"{states.count('removed')} removed, {states.count('reworded')} reworded; influence changed "
            f"significantly on {len(changed)}."
        )
        for name, change in group.outcomes.items():
            if change.is_significant:
                yield Words(f"{name}: {_change(change)}.")


def comparison_sections(comparison: Comparison) -> Iterator[Section]:
    """Yield the tables of a comparison."""
    for group in comparison.groups:
        yield Section(
            f"{comparison.before} → {comparison.after}", list(_comparison_blocks(comparison, group))
        )


def _comparison_blocks(comparison: Comparison, group: GroupComparison) -> Iterator[str | Table]:
    yield (
        f"{group.traces[0]} and {group.traces[1]} traces. p-values are of a permutation test over traces, "
        f"adjusted for the number of lines; with fewer than {FEWEST_TRACES} traces of a version there are "
        "none."
    )
    outcomes: list[list[Cell]] = [
        [name, _number(change.before), _number(change.after), _p(change)]
        for name, change in group.outcomes.items()
    ]
    yield Table(("outcome", comparison.before, comparison.after, "p"), outcomes)
    kinds = [kind for kind in KIND_NAMES if any(kind in line.influence for line in group.lines)]
    rows: list[list[Cell]] = []
    for line in group.lines:
        shown = line.after or line.before
        if shown is None:
            continue
        cells: list[Cell] = [name_line(shown), name_place(shown), _state(line.state)]
        cells.append(_change(line.tokens, digits=0))
        cells += [_share_change(line.influence.get(kind)) for kind in kinds]
        rows.append(cells)
    yield Table(
        ("line", "where", "", "tokens", *(KIND_NAMES[kind] for kind in kinds)), rows, optional=("where",)
    )


def _state(state: str) -> Words:
    tones = {"added": "good", "removed": "bad", "reworded": "plain", "same": "dim"}
    return Words(state, tones[state])  # type: ignore[arg-type]


def _share_change(change: Change | None) -> Cell:
    if change is None or (change.before is None and change.after is None):
        return None
    before = "–" if change.before is None else percent(change.before, 1)
    after = "–" if change.after is None else percent(change.after, 1)
    text = f"{before} → {after}"
    return Words(f"{text} *" if change.is_significant else text, "plain" if change.is_significant else "dim")


def _change(change: Change, digits: int = 2) -> str:
    before, after = (
        "–" if value is None else f"{value:,.{digits}f}" for value in (change.before, change.after)
    )
    return before if before == after else f"{before} → {after}"


def _number(value: float | None) -> Cell:
    return None if value is None else f"{value:,.2f}"


def _p(change: Change) -> Cell:
    if change.p is None:
        return None
    return Words(f"{change.p:.3f}", "good" if change.is_significant else "dim")
