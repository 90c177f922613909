"""What ``--preset`` means."""

from __future__ import annotations

from dataclasses import dataclass

from .evaluator import Effort
from .scorers import scorer_names
from .tasks import TASKS


@dataclass(frozen=True, slots=True)
class Preset:
    """Tasks, methods and effort, by the names users write; peers are measured on some examples only."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    peers: tuple[str, ...]
    effort: Effort


_PEERS = ("flashtrace-0.1.1:span", "ifr_tokenwise", "gradient", "contrast", "attention", "random")

PRESETS = {
    "quick": Preset(
        ("needle", "variable_tracking", "extractive_qa"),
        ("flashtrace", "walk", "flashtrace-0.1.1", "random"),
        (),
        Effort(examples=6, groups=10, subsets=0),
    ),
    "default": Preset(
        tuple(TASKS),
        ("flashtrace", "walk", "flashtrace-0.1.1"),
        _PEERS,
        Effort(examples=40, groups=10, subsets=0),
    ),
    "full": Preset(tuple(TASKS), tuple(scorer_names()), (), Effort(examples=40, groups=20, subsets=24)),
}
