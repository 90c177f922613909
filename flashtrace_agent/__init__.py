"""Explain why an LLM agent did what it did.

Public names load lazily, so that importing the package needs neither torch nor SQL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attribution import Attribution, Hop
    from .engine.attributor import Attributor
    from .segment import Segment
    from .span import Span
    from .trace import Fidelity, Step, Trace
    from .trajectory import Trajectory

__version__ = "0.1.0"

_HOME = {
    "Attribution": "attribution",
    "Attributor": "engine.attributor",
    "Fidelity": "trace",
    "Hop": "attribution",
    "Segment": "segment",
    "Span": "span",
    "Step": "trace",
    "Trace": "trace",
    "Trajectory": "trajectory",
}

__all__ = [
    "Attribution",
    "Attributor",
    "Fidelity",
    "Hop",
    "Segment",
    "Span",
    "Step",
    "Trace",
    "Trajectory",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
