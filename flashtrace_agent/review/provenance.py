"""Where the value of every argument came from, and which values may be made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .lines import is_instruction
from .observation import Observation, TargetShares, call_arguments
from .passages import Passage, strongest_passages


@dataclass(frozen=True, slots=True)
class Provenance:
    """The source of one argument's value.

    Attributes:
        tool: the called tool.
        argument: the argument's name.
        value: its value as text.
        source: the segment with the largest share among those above chance; None if none is.
        share: that segment's share.
        passages: the strongest lines.
        verbatim: segments in which the value stands word for word, whatever their share.
        kind: ``given`` (from the user, a tool's result or the conversation), ``instructions`` (from the
            system prompt or a schema), ``example`` (from a worked example) or ``made up?`` (no source above
            chance).
    """

    trace_id: str
    step_id: str
    target: str
    tool: str
    argument: str
    value: str
    source: str | None
    share: float
    passages: tuple[Passage, ...]
    verbatim: tuple[str, ...]
    kind: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return asdict(self)


def trace_arguments(observations: Sequence[Observation]) -> list[Provenance]:
    """Return the provenance of every attributed argument, those that may be made up first."""
    found = [
        _provenance(one, target)
        for one in observations
        for target in one.targets
        if target.kind == "argument"
    ]
    return sorted(found, key=lambda one: ("made up?", "example", "instructions", "given").index(one.kind))


def _provenance(one: Observation, target: TargetShares) -> Provenance:
    tool, arguments = call_arguments(one.step, target.call)
    name = target.name.partition("#")[0].removeprefix("argument:")
    value = arguments.get(name, target.text)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    sources = [(target.segments[segment], segment) for segment in target.segments_above]
    share, source = max(sources, default=(0.0, None))
    return Provenance(
        trace_id=one.trace.id,
        step_id=one.step.id,
        target=target.name,
        tool=tool,
        argument=name,
        value=text,
        source=source,
        share=share,
        passages=tuple(strongest_passages(one, target, 3)),
        verbatim=tuple(_verbatim(one, text)),
        kind=_kind(source),
    )


def _kind(source: str | None) -> str:
    if source is None:
        return "made up?"
    if source.startswith("example:"):
        return "example"
    return "instructions" if is_instruction(source) else "given"


def _verbatim(one: Observation, value: str) -> list[str]:
    wanted = value.strip().casefold()
    if not wanted:
        return []
    return list(dict.fromkeys(line.segment for line in one.layout.lines if wanted in line.text.casefold()))
