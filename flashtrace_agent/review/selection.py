"""Sort a selection's steps: what is reviewed together, what is left out and why.

Steps are reviewed together if one model, one tokenizer and one setting of the method explained them.
Approximate token ids are left out of verdicts unless asked for; where a step was attributed with
several settings, the model's most common one counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.trace import Step, Trace

from .observation import Observation, observe


class GroupKey(NamedTuple):
    """What the steps of a group have in common."""

    model: str
    tokenizer: str
    method: str
    hops: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The steps of a review, grouped.

    Attributes:
        traces: number of traces with a model step in the selection.
        steps: number of model steps.
        groups: observations by what they have in common, the largest group first.
        left_out: number of steps by the reason they do not count.
    """

    traces: int = 0
    steps: int = 0
    groups: dict[GroupKey, list[Observation]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def trace_ids(self) -> list[str]:
        """Return the ids of the traces that count, each once."""
        return list(dict.fromkeys(one.trace.id for group in self.groups.values() for one in group))


NOT_ATTRIBUTED = "not attributed yet"
NO_SEGMENTS = "attributed without segments"
APPROXIMATE = "approximate token ids"
OTHER_SETTINGS = "attributed with other settings than most"


def select(
    steps: Iterable[tuple[Trace, Step, list[Attribution]]], *, include_approximate: bool = False
) -> Selection:
    """Observe the steps of a selection and group them.

    Args:
        steps: model steps in any order, each with its trace's header and its attributions; read once, so
            they may be streamed.
        include_approximate: count steps with approximate token ids too.
    """
    left_out: Counter[str] = Counter()
    traces: set[str] = set()
    count = 0
    observed: list[list[Observation]] = []
    for trace, step, attributions in steps:
        traces.add(trace.id)
        count += 1
        if not attributions:
            left_out[NOT_ATTRIBUTED] += 1
            continue
        if not include_approximate:
            attributions = [one for one in attributions if one.fidelity != "approximate"]
            if not attributions:
                left_out[APPROXIMATE] += 1
                continue
        found = _by_settings(trace, step, attributions)
        if found:
            observed.append(found)
        else:
            left_out[NO_SEGMENTS] += 1
    return Selection(len(traces), count, _group(observed, left_out), dict(left_out))


def _by_settings(trace: Trace, step: Step, attributions: Sequence[Attribution]) -> list[Observation]:
    sets: dict[tuple[str, str, int], list[Attribution]] = {}
    for one in attributions:
        sets.setdefault((one.model, one.method, one.asked_hops), []).append(one)
    found = [observe(trace, step, members) for members in sets.values()]
    return [one for one in found if one is not None]


def _group(
    observed: Sequence[Sequence[Observation]], left_out: Counter[str]
) -> dict[GroupKey, list[Observation]]:
    settings: dict[tuple[str, str], Counter[tuple[str, int]]] = {}
    for found in observed:
        for one in found:
            settings.setdefault((one.model, one.tokenizer), Counter())[one.method, one.hops] += 1
    groups: dict[GroupKey, list[Observation]] = {}
    for found in observed:
        kept = False
        for one in found:
            usual = settings[one.model, one.tokenizer].most_common(1)[0][0]
            if (one.method, one.hops) == usual:
                key = GroupKey(one.model, one.tokenizer, one.method, one.hops)
                groups.setdefault(key, []).append(one)
                kept = True
        if not kept:
            left_out[OTHER_SETTINGS] += 1
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def group_traces(observations: Sequence[Observation]) -> list[str]:
    """Return the ids of the traces that observations come from, in order of appearance."""
    return list(dict.fromkeys(one.trace.id for one in observations))
