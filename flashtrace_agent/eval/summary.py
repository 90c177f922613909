"""From finished lines to estimates: by model, group of tasks and method, and over all groups."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from .records import Line, Records
from .statistics import Estimate, estimate, grouped_difference
from .tasks import TASKS

LOWER_IS_BETTER = ("rise_t", "mas_t", "rise_g", "mas_g", "sufficiency_t", "sufficiency_g")
METRICS = (
    "recovery_5", "recovery_10", "rise_t", "mas_t", "comprehensiveness_t", "sufficiency_t", "lds_t",
    "ablation_t", "rise_g", "mas_g", "comprehensiveness_g", "sufficiency_g", "lds_g", "ablation_g",
    "first_token", "template",
)  # fmt: skip
FEWEST = 5
"""Examples below which a group, or a metric of it, gives no numbers: an interval of one is no interval."""

Example = tuple[str, int]
"""A task's name and the puzzle's seed."""


@dataclass(slots=True)
class Group:
    """One model's examples of one group of tasks.

    Attributes:
        solved: by task, how many of its puzzles were solved.
        tried: puzzles tried.
        failures: why the others were not, with counts.
        methods: by method, by metric, the value of each example; None: does not apply.
        seconds: by method, the median seconds of an example.
        passes: by method, its cost in model passes, in words.
        skipped: by method, why it could not run, with counts.
    """

    model: str
    name: str
    solved: dict[str, int] = field(default_factory=dict)
    tried: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    methods: dict[str, dict[str, dict[Example, float | None]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    passes: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def right(self) -> int:
        """Puzzles solved."""
        return sum(self.solved.values())

    @property
    def measured(self) -> dict[str, int]:
        """By method, the examples it has numbers for."""
        return {name: max(map(len, values.values())) for name, values in self.methods.items()}

    @property
    def too_few(self) -> bool:
        """Tell whether the model solved too few puzzles for numbers."""
        return self.right < FEWEST

    def values(self, method: str, metric: str) -> dict[Example, float]:
        """Return a metric's values by example, those that apply; nothing where they are too few."""
        found = self.methods.get(method, {}).get(metric, {})
        known = {example: value for example, value in found.items() if value is not None}
        return known if len(known) >= FEWEST else {}

    def estimate(self, method: str, metric: str) -> Estimate | None:
        """Return a metric's mean with its interval."""
        return estimate(list(self.values(method, metric).values()))

    def paired(self, first: str, second: str, metric: str) -> tuple[list[float], list[float]]:
        """Return two methods' values on the examples both have."""
        one, two = self.values(first, metric), self.values(second, metric)
        both = sorted(one.keys() & two.keys())
        return [one[example] for example in both], [two[example] for example in both]

    def excluded(self, metric: str) -> int:
        """Return how many examples a deletion metric leaves out: emptying the prompt changes nothing."""
        return max(
            (sum(v is None for v in found.get(metric, {}).values()) for found in self.methods.values()),
            default=0,
        )


def groups(
    records: Records,
    *,
    models: Collection[str] | None = None,
    tasks: Collection[str] | None = None,
    methods: Collection[str] | None = None,
) -> list[Group]:
    """Return the groups of a results file, in the order they were measured, of what is asked for."""
    found: dict[tuple[str, str], Group] = {}

    def group_of(line: Line) -> Group | None:
        model, task = line["model"], line["task"]
        if (models is not None and model not in models) or (tasks is not None and task not in tasks):
            return None
        name = TASKS[task].group if task in TASKS else task
        return found.setdefault((model, name), Group(model, name))

    for line in records.of_kind("example"):
        if group := group_of(line):
            group.tried += 1
            if "failed" in line:
                group.failures[line["failed"]] = group.failures.get(line["failed"], 0) + 1
            else:
                group.solved[line["task"]] = group.solved.get(line["task"], 0) + 1
    seconds: dict[tuple[str, str, str], list[float]] = {}
    for line in records.of_kind("score"):
        if (group := group_of(line)) and (methods is None or line["method"] in methods):
            _add(group, line, seconds)
    for (model, name, method), values in seconds.items():
        found[model, name].seconds[method] = median(values)
    return list(found.values())


def _add(group: Group, line: Line, seconds: dict[tuple[str, str, str], list[float]]) -> None:
    method = line["method"]
    if "skipped" in line:
        reasons = group.skipped.setdefault(method, {})
        reasons[line["skipped"]] = reasons.get(line["skipped"], 0) + 1
        return
    by_metric = group.methods.setdefault(method, {})
    for metric, value in line["metrics"].items():
        by_metric.setdefault(metric, {})[line["task"], line["seed"]] = value
    group.passes[method] = line["passes"]
    seconds.setdefault((group.model, group.name, method), []).append(line["seconds"])


def method_names(found: Iterable[Group]) -> list[str]:
    """Return every method that has numbers, in the order of their first appearance."""
    names: dict[str, None] = {}
    for group in found:
        names.update(dict.fromkeys(group.methods))
    return list(names)


def difference(found: Sequence[Group], first: str, second: str, metric: str) -> Estimate | None:
    """Return first minus second over groups with numbers, paired by example, each group weighing the same."""
    return grouped_difference([group.paired(first, second, metric) for group in found if not group.too_few])


def in_hindsight(found: Sequence[Group], base: str, metric: str) -> float | None:
    """Return how far from `base` the best method of each group is, on the mean over groups.

    No choice among the methods that were measured on all examples can surpass it.
    """
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    gains = []
    for group in found:
        complete = [name for name, count in group.measured.items() if count == group.right]
        gaps = [difference([group], name, base, metric) for name in complete]
        if means := [sign * gap.mean for gap in gaps if gap is not None]:
            gains.append(sign * max(means))
    return mean(gains) if gains else None


def best(group: Group, metric: str) -> tuple[str, set[str]]:
    """Return the best method of a group and all that are not clearly worse.

    A method is clearly worse if the interval of its paired difference to the best excludes zero.
    """
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    means = {name: group.estimate(name, metric) for name in group.methods}
    known = {name: sign * value.mean for name, value in means.items() if value is not None}
    if not known:
        return "", set()
    winner = max(known, key=lambda name: known[name])
    near = {winner}
    for name in known:
        gap = grouped_difference([group.paired(name, winner, metric)])
        if gap is not None and not gap.excludes_zero:
            near.add(name)
    return winner, near


def to_dict(found: Sequence[Group]) -> dict[str, Any]:
    """Return all estimates, JSON-ready."""
    return {
        "groups": [
            {
                "model": group.model,
                "group": group.name,
                "solved": group.solved,
                "tried": group.tried,
                "right": group.right,
                "too_few": group.too_few,
                "failures": group.failures,
                "excluded": {metric: group.excluded(metric) for metric in ("rise_t", "rise_g")},
                "skipped": group.skipped,
                "methods": {} if group.too_few else {name: _method(group, name) for name in group.methods},
            }
            for group in found
        ]
    }


def _method(group: Group, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"seconds": group.seconds[name], "passes": group.passes[name]}
    for metric in METRICS:
        value = group.estimate(name, metric)
        if value is not None:
            found[metric] = {"mean": value.mean, "low": value.low, "high": value.high, "count": value.count}
    return found
