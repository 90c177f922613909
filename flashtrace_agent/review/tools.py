"""What the tool schemas do: which compete, which never cause a call, which descriptions are ignored;
and calls to tools that do not exist, with what suggested their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .ledger import Row
from .observation import Observation, TargetShares, call_arguments
from .passages import Passage, strongest_passages

_RIVAL_SHARE = 0.5
"""A schema with this part of the called tool's own share competes for its calls."""


@dataclass(frozen=True, slots=True)
class Rivals:
    """Two tools of which one's schema draws much of the influence on the other's calls.

    Attributes:
        called: the tool that was called.
        rival: the other tool.
        calls: attributed calls of `called` where both were on offer.
        own_share: mean share of the called tool's schema in the choice.
        rival_share: mean share of the other's.
    """

    called: str
    rival: str
    calls: int
    own_share: float
    rival_share: float


@dataclass(frozen=True, slots=True)
class UnknownCall:
    """A call to a tool that was not offered.

    Attributes:
        name: what the model called.
        offered: the tools there were.
        sources: what suggested the name, strongest first.
        verbatim: lines that hold the name word for word, strongest first.
    """

    trace_id: str
    step_id: str
    target: str
    name: str
    offered: tuple[str, ...]
    sources: tuple[Passage, ...]
    verbatim: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class ToolReview:
    """What the schemas do.

    Attributes:
        offered: in how many steps each tool was offered.
        calls: how often each offered tool was called.
        rivals: competing tools, the closest first.
        never_cause: tools whose schema is not above chance in any choice of a tool and that were not called.
        ignored: parameter descriptions not above chance in the arguments of any call.
        unknown: calls to tools that do not exist.
    """

    offered: dict[str, int]
    calls: dict[str, int]
    rivals: tuple[Rivals, ...]
    never_cause: tuple[str, ...]
    ignored: tuple[Row, ...]
    unknown: tuple[UnknownCall, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "offered": self.offered,
            "calls": self.calls,
            "rivals": [asdict(one) for one in self.rivals],
            "never_cause": list(self.never_cause),
            "ignored_descriptions": [row.to_dict() for row in self.ignored],
            "unknown_calls": [asdict(one) for one in self.unknown],
        }


def review_tools(observations: Sequence[Observation], ledger: Sequence[Row]) -> ToolReview:
    """Review the tool schemas of a group.

    Args:
        observations: the group's steps.
        ledger: the group's ledger.
    """
    offered: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    shares: dict[tuple[str, str], list[float]] = {}
    own: dict[tuple[str, str], list[float]] = {}
    unknown: list[UnknownCall] = []
    for one in observations:
        names = [tool.name for tool in one.step.tools]
        offered.update(names)
        calls.update(call.name for call in (one.step.output.tool_calls if one.step.output else ()))
        for target in one.targets:
            if target.kind != "tool" or target.call is None:
                continue
            called, _ = call_arguments(one.step, target.call)
            if called in names:
                mine = target.segments.get(f"tool_schema:{called}", 0.0)
                for rival in names:
                    if rival != called:
                        shares.setdefault((called, rival), []).append(
                            target.segments.get(f"tool_schema:{rival}", 0.0)
                        )
                        own.setdefault((called, rival), []).append(mine)
            elif names and called:
                unknown.append(_unknown(one, target, called, names))
    rivals = [
        Rivals(called, rival, len(values), _mean(own[called, rival]), _mean(values))
        for (called, rival), values in shares.items()
    ]
    rivals = [pair for pair in rivals if pair.rival_share >= _RIVAL_SHARE * pair.own_share > 0]
    by_tool = {row.line.segment.removeprefix("tool_schema:"): row for row in ledger if row.is_segment}
    return ToolReview(
        offered=dict(offered),
        calls={name: calls[name] for name in offered},
        rivals=tuple(sorted(rivals, key=lambda pair: pair.own_share - pair.rival_share)),
        never_cause=tuple(
            name for name in offered if not calls[name] and _is_idle(by_tool.get(name), "tool")
        ),
        ignored=tuple(
            row for row in ledger if row.line.part.startswith("parameter:") and _is_idle(row, "argument")
        ),
        unknown=tuple(unknown),
    )


def _unknown(one: Observation, target: TargetShares, called: str, names: Sequence[str]) -> UnknownCall:
    return UnknownCall(
        one.trace.id,
        one.step.id,
        target.name,
        called,
        tuple(names),
        tuple(strongest_passages(one, target, 3)),
        tuple(
            passage
            for passage in strongest_passages(one, target, len(one.layout.lines))
            if called.casefold() in passage.text.casefold()
        )[:3],
    )


def _is_idle(row: Row | None, kind: str) -> bool:
    influence = row.influence.get(kind) if row is not None else None  # type: ignore[call-overload]
    return influence is not None and influence.above_chance is False


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
