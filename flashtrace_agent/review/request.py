"""The check of a review's idle lines as a request that a worker, who has the model, can carry out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.trace import Step, Trace

from .dead_weight import DeadWeight
from .proofs import Archive, Proofs
from .report import build_report
from .selection import GroupKey

if TYPE_CHECKING:
    from flashtrace_agent.engine.attributor import Attributor


class Source(Archive, Protocol):
    """What is reviewed, and where proofs are kept; `Store` is one."""

    def attributed_steps(
        self, *, where: str | None, prompt_version: str | None, last: int | None
    ) -> Iterable[tuple[Trace, Step, list[Attribution]]]:
        """Return the model steps of a selection with their traces' headers and attributions."""


@dataclass(frozen=True, slots=True)
class LineCheck:
    """The check of the idle lines of one group of a review.

    Attributes:
        where: the review's filter.
        prompt_version: only steps of traces with this version.
        last: only so many of the newest steps.
        include_approximate: count steps with approximate token ids too.
        sample: steps to run per line.
        group: which group of the review.
    """

    where: str | None
    prompt_version: str | None
    last: int
    include_approximate: bool
    sample: int
    group: GroupKey

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return asdict(self) | {"group": list(self.group)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LineCheck:
        """Return what `to_dict` gave."""
        return cls(**(dict(data) | {"group": GroupKey(*data["group"])}))

    def run(
        self, source: Source, attributor: Attributor, tick: Callable[[str], None] = lambda _: None
    ) -> DeadWeight:
        """Run the model without each idle line that was not checked before, and keep what it showed.

        Raises:
            FlashTraceError: if the steps are gone, or a prompt cannot be rendered.
        """
        from .ablation import Ablator

        steps = source.attributed_steps(where=self.where, prompt_version=self.prompt_version, last=self.last)
        report = build_report(steps, include_approximate=self.include_approximate)
        group = next((one for one in report.groups if one.key == self.group), None)
        if group is None:
            raise FlashTraceError(
                f"None of the steps that {self.group.model} wrote is left in this review: open it again."
            )
        proofs = Proofs(source, group.key.model, group.observations)
        return Ablator(attributor, self.sample, tick, proofs).check(group.dead_weight, group.observations)
