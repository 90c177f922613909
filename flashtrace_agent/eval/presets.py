"""What ``--preset`` means."""

from __future__ import annotations

from dataclasses import dataclass

from .evaluator import Effort
from .scorers import scorer_names
from .tasks import TASKS


@dataclass(frozen=True, slots=True)
class Preset:
    """Tasks, methods and effort, by the names users write."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    effort: Effort


_TALKED = tuple(name for name in TASKS if name != "chain")  # a model trained on it has a language of its own
_COMPARED = ("flashtrace", "walk", "gradient", "contrast", "attention", "flashtrace-0.1.1", "random")

PRESETS = {
    "quick": Preset(
        ("needle", "variable_tracking", "extractive_qa"),
        ("flashtrace", "walk", "flashtrace-0.1.1", "random"),
        Effort(examples=6, groups=10, subsets=0),
    ),
    "default": Preset(_TALKED, _COMPARED, Effort(examples=40, groups=10, subsets=0)),
    "full": Preset(tuple(TASKS), tuple(scorer_names()), Effort(examples=40, groups=20, subsets=24)),
}
