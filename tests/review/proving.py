"""A check without a model: every line passes, and several at once do not."""

from __future__ import annotations

from collections.abc import Sequence

from flashtrace_agent.review.dead_weight import DeadWeight
from flashtrace_agent.review.line_check import check_lines
from flashtrace_agent.review.lines import Line
from flashtrace_agent.review.observation import Observation
from flashtrace_agent.review.proofs import Proofs
from flashtrace_agent.review.report import GroupReport
from flashtrace_agent.review.verdict import AblatedStep, Ablation, judge
from flashtrace_agent.store import Store


def passing(lines: Sequence[Line], observations: Sequence[Observation]) -> Ablation:
    """Return what a model would show that does the same without any line, and less surely without several."""
    drop = 0.06 * len(lines)
    return judge(
        [
            AblatedStep(one.trace.id, one.step.id, "price(item)", drop, True, True, None, 9)
            for one in observations
        ]
    )


def prove_all(store: Store, group: GroupReport, sample: int) -> DeadWeight:
    """Check every candidate and keep what is found, as the ablator does."""
    proofs = Proofs(store, group.key.model, group.observations)

    def prove(lines: Sequence[Line], observations: Sequence[Observation]) -> Ablation:
        found = passing(lines, observations)
        proofs.keep(lines, found)
        return found

    return check_lines(group.dead_weight, group.observations, sample, prove)
