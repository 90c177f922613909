"""The review as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.trace import Step, Trace

from .compare import Comparison
from .dead_weight import DeadWeight, find_candidates
from .ledger import Row, build_ledger
from .line_check import check_lines
from .observation import Observation
from .proofs import Archive, Proofs
from .provenance import Provenance, trace_arguments
from .reasoning_load import Load, reasoning_loads
from .selection import GroupKey, Selection, group_traces, select
from .statistics import FEWEST_TRACES
from .tools import ToolReview, review_tools
from .untrusted import THRESHOLD, UntrustedCall, untrusted_calls

NOTE = (
    "Shares say what the model's computation drew on. They are evidence, not proof: only a run without a "
    "line shows what it does."
)


@dataclass(frozen=True, slots=True)
class GroupReport:
    """The review of steps that one model explained with one setting.

    Attributes:
        key: model, tokenizer, method, hops.
        observations: the steps.
        traces: number of traces.
        prompt_tokens: mean tokens of the prompts.
        template: mean share of the score that rests on the chat template.
        fidelity: number of steps by fidelity.
        ledger: what each segment and line costs and buys.
        dead_weight: what may go.
        tools: what the schemas do.
        arguments: where every argument's value came from.
        untrusted: calls made in sight of a tool result.
        threshold: untrusted share above which a call is flagged.
        reasoning: what choices hang on.
    """

    key: GroupKey
    observations: tuple[Observation, ...]
    traces: int
    prompt_tokens: float
    template: float
    fidelity: dict[str, int]
    ledger: tuple[Row, ...]
    dead_weight: DeadWeight
    tools: ToolReview
    arguments: tuple[Provenance, ...]
    untrusted: tuple[UntrustedCall, ...]
    threshold: float
    reasoning: tuple[Load, ...]

    @property
    def has_intervals(self) -> bool:
        """True if there are enough traces for intervals and verdicts."""
        return self.traces >= FEWEST_TRACES

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            **self.key._asdict(),
            "traces": self.traces,
            "steps": len(self.observations),
            "prompt_tokens": round(self.prompt_tokens, 1),
            "template_share": round(self.template, 4),
            "fidelity": self.fidelity,
            "ledger": [row.to_dict() for row in self.ledger],
            "dead_weight": self.dead_weight.to_dict(),
            "tools": self.tools.to_dict(),
            "arguments": [one.to_dict() for one in self.arguments],
            "untrusted": {
                "threshold": self.threshold,
                "calls": [one.to_dict() for one in self.untrusted],
            },
            "reasoning_load": [one.to_dict() for one in self.reasoning],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A review of a selection.

    Attributes:
        title: what was selected, in words.
        traces: traces in the selection.
        steps: model steps in the selection.
        left_out: number of steps by the reason they do not count.
        groups: one review per model and setting, never mixed, the largest first.
        comparison: two prompt versions side by side, where asked for.
    """

    title: str
    traces: int
    steps: int
    left_out: dict[str, int]
    groups: tuple[GroupReport, ...]
    comparison: Comparison | None = None

    def with_dead_weight(self, number: int, dead_weight: DeadWeight) -> Report:
        """Return the report with a checked list of candidates for a group."""
        groups = list(self.groups)
        groups[number] = replace(groups[number], dead_weight=dead_weight)
        return replace(self, groups=tuple(groups))

    def with_proofs(self, archive: Archive, sample: int) -> Report:
        """Return the report with what earlier checks of the same lines showed.

        Args:
            archive: where proofs are kept.
            sample: how many steps a proof has to be made on, as far as there are so many.
        """
        report = self
        for number, group in enumerate(self.groups):
            proofs = Proofs(archive, group.key.model, group.observations)
            dead = check_lines(group.dead_weight, group.observations, sample, proofs.find)
            report = report.with_dead_weight(number, dead)
        return report

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; scripts rely on its keys."""
        return {
            "title": self.title,
            "traces": self.traces,
            "steps": self.steps,
            "left_out": self.left_out,
            "groups": [group.to_dict() for group in self.groups],
            "comparison": self.comparison.to_dict() if self.comparison is not None else None,
            "note": NOTE,
        }


def build_report(
    steps: Iterable[tuple[Trace, Step, list[Attribution]]],
    *,
    title: str = "Prompt review",
    include_approximate: bool = False,
    threshold: float = THRESHOLD,
) -> Report:
    """Review a selection of model steps.

    Args:
        steps: each with its trace's header and its attributions; read once.
        title: what was selected, in words.
        include_approximate: count steps with approximate token ids too.
        threshold: untrusted share above which a call is flagged.
    """
    selection = select(steps, include_approximate=include_approximate)
    return report_selection(selection, title=title, threshold=threshold)


def report_selection(
    selection: Selection,
    *,
    title: str = "Prompt review",
    threshold: float = THRESHOLD,
    comparison: Comparison | None = None,
) -> Report:
    """Do as `build_report` with a selection already read, and with a comparison where there is one."""
    return Report(
        title=title,
        traces=selection.traces,
        steps=selection.steps,
        left_out=selection.left_out,
        groups=tuple(_review(key, group, threshold) for key, group in selection.groups.items()),
        comparison=comparison,
    )


def _review(key: GroupKey, observations: Sequence[Observation], threshold: float) -> GroupReport:
    ledger = build_ledger(observations)
    tools = review_tools(observations, ledger)
    shares = [target.template for one in observations for target in one.targets]
    fidelity: dict[str, int] = {}
    for one in observations:
        fidelity[one.fidelity] = fidelity.get(one.fidelity, 0) + 1
    return GroupReport(
        key=key,
        observations=tuple(observations),
        traces=len(group_traces(observations)),
        prompt_tokens=sum(sum(one.segment_tokens.values()) for one in observations) / len(observations),
        template=sum(shares) / len(shares) if shares else 0.0,
        fidelity=fidelity,
        ledger=tuple(ledger),
        dead_weight=find_candidates(ledger, tools),
        tools=tools,
        arguments=tuple(trace_arguments(observations)),
        untrusted=tuple(untrusted_calls(observations, threshold)),
        threshold=threshold,
        reasoning=tuple(reasoning_loads(observations)),
    )
