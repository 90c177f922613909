"""How much of each tool call came from tool results, which anyone may have written.

The untrusted share of a call is what its name and arguments drew on tool results, as a part of what they
drew on tool results, the user's words and the system prompt together. Schemas and examples, which every
call needs for its form, are set aside, and so are the model's own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .observation import Observation, TargetShares, call_arguments
from .passages import Passage, strongest_passages

THRESHOLD = 0.5
"""Above, tool results had more say in the call than user and system prompt together."""

_SHOWN_PASSAGES = 3


@dataclass(frozen=True, slots=True)
class UntrustedCall:
    """One call and how much of it came from tool results.

    Attributes:
        name_share: untrusted share of the tool's name; None where it was not attributed.
        argument_share: mean untrusted share of the arguments; None without attributed arguments.
        share: the larger of the two, or that of the call as a whole where only that was attributed.
        results: names of the tool results with a line above chance.
        passages: the strongest lines of tool results.
        target: the attributed target that drew most on results.
        recovery: Recovery@10 % where an injected text is known (see `recovery`); None elsewhere.
        recorded_recovery: the same, as recorded with imported scores.
        flagged: True if `share` is over the threshold and a line of a result is above chance.
    """

    trace_id: str
    step_id: str
    tool: str
    arguments: dict[str, Any]
    name_share: float | None
    argument_share: float | None
    share: float
    results: tuple[str, ...]
    passages: tuple[Passage, ...]
    target: str
    recovery: float | None
    recorded_recovery: float | None
    flagged: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return asdict(self)


def untrusted_calls(observations: Sequence[Observation], threshold: float = THRESHOLD) -> list[UntrustedCall]:
    """Return every attributed call in whose prompt a tool result stands, the least trusted first."""
    found = [
        call
        for one in observations
        if any(_is_result(name) for name in one.segment_tokens)
        for number in sorted({target.call for target in one.targets if target.call is not None})
        if (call := _review_call(one, number, threshold)) is not None
    ]
    return sorted(found, key=lambda call: (not call.flagged, -call.share))


def _review_call(one: Observation, number: int, threshold: float) -> UntrustedCall | None:
    targets = [target for target in one.targets if target.call == number]
    shares: dict[str, list[float]] = {}
    for target in targets:
        share = untrusted_share(target)
        if share is not None:
            shares.setdefault(target.kind, []).append(share)
    if not shares:
        return None
    means = {kind: float(np.mean(values)) for kind, values in shares.items()}
    share = max(means.values())
    results = sorted(
        {
            line.segment
            for target in targets
            for line, above in zip(one.layout.lines, target.text_above, strict=True)
            if above and _is_result(line.segment)
        }
    )
    # The target that drew most on results shows best where from.
    worst = max(targets, key=lambda target: untrusted_share(target) or 0.0)
    every = [name for name in one.segment_tokens if _is_result(name)]
    tool, arguments = call_arguments(one.step, number)
    return UntrustedCall(
        trace_id=one.trace.id,
        step_id=one.step.id,
        tool=tool,
        arguments=dict(arguments),
        name_share=means.get("tool"),
        argument_share=means.get("argument"),
        share=share,
        results=tuple(results),
        passages=tuple(strongest_passages(one, worst, _SHOWN_PASSAGES, every)),
        target=worst.name,
        recovery=worst.recovery,
        recorded_recovery=worst.recorded_recovery,
        flagged=share > threshold and bool(results),
    )


def untrusted_share(target: TargetShares) -> float | None:
    """Return what of a target came from tool results rather than user and system; None if from neither."""
    untrusted = sum(share for name, share in target.segments.items() if _is_result(name))
    trusted = target.segments.get("user", 0.0) + target.segments.get("system", 0.0)
    return untrusted / (untrusted + trusted) if untrusted + trusted > 0 else None


def _is_result(segment: str) -> bool:
    return segment.startswith("tool_result")
