"""Conditions for CI: ``dead_tokens > 500`` fails a review."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from flashtrace_agent.errors import FlashTraceError

from .report import Report

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
_SYNTAX = re.compile(r"\s*([a-z_]+)\s*(>=|<=|!=|>|<|=)\s*([0-9]+(?:\.[0-9]+)?)\s*")


def _dead_tokens(report: Report) -> float:
    counts = [group.dead_weight.tokens for group in report.groups]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        raise FlashTraceError(
            "dead_tokens is known only after the model was run without the lines: add --yes, or use "
            "candidate_tokens, which counts what attribution alone suggests."
        )
    return max(known, default=0.0)


METRICS: dict[str, tuple[str, Callable[[Report], float]]] = {
    "dead_tokens": ("tokens per call that the check found removable", _dead_tokens),
    "candidate_tokens": (
        "tokens per call of lines not above chance, before the check",
        lambda report: max(
            (sum(one.row.tokens for one in group.dead_weight.candidates) for group in report.groups),
            default=0.0,
        ),
    ),
    "untrusted": (
        "largest untrusted share of a call",
        lambda report: max((call.share for group in report.groups for call in group.untrusted), default=0.0),
    ),
    "flagged_calls": (
        "calls flagged as untrusted",
        lambda report: sum(call.flagged for group in report.groups for call in group.untrusted),
    ),
    "unknown_calls": (
        "calls to tools that do not exist",
        lambda report: sum(len(group.tools.unknown) for group in report.groups),
    ),
    "made_up": (
        "argument values that may be made up",
        lambda report: sum(one.kind == "made up?" for group in report.groups for one in group.arguments),
    ),
}
"""What a condition can name: its meaning, and how it is read off a report."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition; it holds if the metric compares so with the limit."""

    text: str
    metric: str
    compare: str
    limit: float

    def value(self, report: Report) -> float:
        """Return the metric's value.

        Raises:
            FlashTraceError: if it is not known without the check.
        """
        return float(METRICS[self.metric][1](report))

    def holds(self, report: Report) -> bool:
        """Tell whether the condition holds for a report."""
        return _OPERATORS[self.compare](self.value(report), self.limit)


def parse_condition(text: str) -> Condition:
    """Read ``METRIC OPERATOR NUMBER``.

    Raises:
        ValueError: saying what can be written.
    """
    match = _SYNTAX.fullmatch(text)
    if match is None or match[1] not in METRICS:
        names = ", ".join(METRICS)
        raise ValueError(
            f"{text!r} is no condition: write one of {names}, then > >= < <= = or !=, then a number, "
            'as in "dead_tokens > 500".'
        )
    return Condition(text.strip(), match[1], match[2], float(match[3]))
