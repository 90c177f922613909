"""What re-runs showed, kept so that a later review shows it without running the model.

A proof is filed under a digest over all it depends on besides the steps: the limits of the check, the
model, the lines, and every prompt of the review (system prompt, schemas, examples, template) in which
one of them stands. So after an edit of the prompt, or with another model, the check is to be run anew;
more runs of the same prompt change nothing. A proof counts while the steps it was made on are among
those reviewed, with the same token ids, and are as many as are asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from flashtrace_agent.trace import Step

from .lines import Line, stands_in
from .observation import Observation
from .removal import remove_lines
from .verdict import HAIR, MEAN_DROP, TURNED, WORST_DROP, AblatedStep, Ablation, judge


class Archive(Protocol):
    """Where proofs are kept; `Store` is one."""

    def ablations(self, key: str) -> Sequence[Mapping[str, Mapping[str, Any]]]:
        """Return the proofs under a key, each by step id; none that lost a step to a deletion."""

    def write_ablation(self, key: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what was found at each step under a key, in place of a proof on the same steps."""


class Proofs:
    """The proofs about the lines of one group of a review.

    Args:
        archive: where they are kept.
        model: the group's model.
        observations: the group's steps.
    """

    def __init__(self, archive: Archive, model: str, observations: Sequence[Observation]) -> None:
        self._archive = archive
        self._model = model
        self._steps = {one.step.id: one.step for one in observations}
        self._observations = observations

    def find(self, lines: Sequence[Line], sampled: Sequence[Observation]) -> Ablation | None:
        """Return what is known of steps without lines; None where that has to be found out.

        Args:
            lines: the lines, all taken out at once.
            sampled: the steps that would be run.
        """
        there = [[line for line in lines if stands_in(line, one.layout.lines)] for one in sampled]
        wanted = sum(
            bool(some) and remove_lines(one.step, some) is not None
            for one, some in zip(sampled, there, strict=True)
        )
        if not wanted:
            return judge(())
        proofs = self._archive.ablations(self._key(lines))
        best = max((one for one in proofs if self._holds(one)), key=len, default={})
        if len(best) < wanted:
            return None
        return judge([AblatedStep(**data["found"]) for data in best.values()])

    def _holds(self, proof: Mapping[str, Mapping[str, Any]]) -> bool:
        """Tell whether a proof speaks of steps of this review, as they are now."""
        return all(
            step_id in self._steps and data["ids"] == _digest_of_ids(self._steps[step_id])
            for step_id, data in proof.items()
        )

    def keep(self, lines: Sequence[Line], ablation: Ablation) -> None:
        """Keep what was found of steps without lines."""
        if ablation.steps:
            steps = {
                one.step_id: {"ids": _digest_of_ids(self._steps[one.step_id]), "found": asdict(one)}
                for one in ablation.steps
            }
            self._archive.write_ablation(self._key(lines), steps)

    def _key(self, lines: Sequence[Line]) -> str:
        prompts = sorted(
            digest
            for digest, present in self._prompts.items()
            if any(stands_in(line, present) for line in lines)
        )
        ordered = sorted([line.segment, line.part, line.text] for line in lines)
        return _digest([MEAN_DROP, WORST_DROP, HAIR, TURNED, self._model, ordered, prompts])

    @cached_property
    def _prompts(self) -> dict[str, set[Line]]:
        """The different prompts by digest, each with its lines."""
        found: dict[str, set[Line]] = {}
        for one in self._observations:
            found.setdefault(_digest_of_prompt(one.step), set()).update(one.layout.lines)
        return found


def _digest_of_prompt(step: Step) -> str:
    owned = [
        [one.role, one.content, one.reasoning, [[call.name, call.arguments] for call in one.tool_calls]]
        for one in step.input
        if one.role == "system" or one.example
    ]
    template = [step.settings.get("chat_template"), step.settings.get("template_kwargs")]
    return _digest([owned, [tool.to_openai() for tool in step.tools], template])


def _digest_of_ids(step: Step) -> str:
    return hashlib.blake2b(np.asarray(step.token_ids, dtype="<u4").tobytes(), digest_size=16).hexdigest()


def _digest(value: object) -> str:
    text = json.dumps(value, default=str, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
