"""Check the lines of a review that look idle: run the model without them, where the user agrees."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from .console import one_line
from .options import Dtype, load_attributor
from .progress import open_progress

if TYPE_CHECKING:
    from flashtrace_agent.review import Report
    from flashtrace_agent.store import Store


@dataclass(frozen=True, slots=True)
class IdleCheck:
    """What the options say of the check.

    Attributes:
        sample: steps to run per line.
        model: the model to run; None for the one that wrote the steps.
        dtype: what it computes in.
        is_agreed: True where the user agreed to the cost beforehand.
        may_ask: True where the user may be asked.
    """

    sample: int
    model: str | None
    dtype: Dtype
    is_agreed: bool
    may_ask: bool

    def run(self, report: Report, opened: Store) -> Report:
        """Return the report with what the model did without the idle lines not checked before.

        Raises:
            typer.BadParameter: if one model was named for steps of several.
        """
        from flashtrace_agent.review.describe_dead_weight import cost_sentence
        from flashtrace_agent.review.sampling import check_cost

        wanted = [number for number, group in enumerate(report.groups) if not group.dead_weight.is_checked]
        if self.model is not None and len(wanted) > 1:
            raise typer.BadParameter("The selection has steps of several models; leave --model out.")
        for number in wanted:
            group = report.groups[number]
            cost = check_cost(group.dead_weight, group.observations, self.sample)
            if not cost.runs:
                continue
            typer.echo(cost_sentence(group, cost), err=True)
            if self._agrees():
                report = self._run_group(report, number, opened)
        return report

    def _agrees(self) -> bool:
        if self.is_agreed:
            return True
        return self.may_ask and sys.stdin.isatty() and typer.confirm("Run it?", err=True)

    def _run_group(self, report: Report, number: int, opened: Store) -> Report:
        from flashtrace_agent.review.ablation import Ablator
        from flashtrace_agent.review.proofs import Proofs

        group = report.groups[number]
        with open_progress() as progress:
            # One more for all the lines that passed, at once.
            bar = progress.add_task("loading the model", total=len(group.dead_weight.candidates) + 1)
            attributor = load_attributor(self.model, group.key.model, self.dtype)

            def tick(line: str) -> None:
                progress.update(bar, advance=1, description=f"running without {one_line(line, 40)}")

            # What another model than the group's own does proves nothing about that one.
            own = self.model is None or self.model == group.key.model
            proofs = Proofs(opened, group.key.model, group.observations) if own else None
            dead = Ablator(attributor, self.sample, tick, proofs).check(group.dead_weight, group.observations)
        return report.with_dead_weight(number, dead)
