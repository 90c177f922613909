"""Build a trajectory, given something that attributes single steps.

1. The target is attributed in its own step: each segment of the prompt gets a part of its mass.
2. A segment that an earlier step wrote becomes a node of that step; its tokens' mass is carried to
   the tokens which that step wrote, and waits there. All else is an end.
3. Mass on a tool result starts the flow `choice` at the call that fetched it.
4. The steps are visited from the latest to the first. What waits at a step is its next target, one
   for each node and flow, and is handed to the segments of its prompt as in 1.

A step only ever hands mass to earlier ones, so a single walk suffices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import TargetError
from flashtrace_agent.percent import percent
from flashtrace_agent.segment import Segment
from flashtrace_agent.trace import Fidelity, Step, Trace
from flashtrace_agent.trajectory import Flow, Trajectory

from .authorship import Authorship, CallOrigin
from .carrying import Mass, carry
from .drafts import Draft, Drafts, end_of, family
from .own_words import OwnWords, own_words, words_of_call

SMALLEST = 1e-3
"""Mass below which what a step wrote is not followed further; it rests there, with a note."""

TARGET = "target"


class Explainer(Protocol):
    """Attributes single steps. All results have segments that tile prompt and completion."""

    def named(self, step: Step, target: str) -> Attribution:
        """Attribute a target by its name.

        Raises:
            TargetError: if the step cannot be attributed.
        """

    def weighted(self, step: Step, weights: Sequence[Mass]) -> Sequence[Attribution]:
        """Attribute targets given as a weight for each token of the step, float64 (N,).

        Raises:
            TargetError: if the step cannot be attributed.
        """

    def segments(self, step: Step) -> Sequence[Segment]:
        """Return the segments of a step's prompt and completion.

        Raises:
            TargetError: if the step's token ids are unknown.
        """


def build_trajectory(
    trace: Trace, step: Step, target: str, explainer: Explainer, *, smallest: float = SMALLEST
) -> Trajectory:
    """Trace a target of a step back through the run.

    Args:
        trace: the run, with its steps in order of time.
        step: a model step of it.
        target: a target's name, or ``START:END`` in tokens of the step.
        explainer: attributes single steps.
        smallest: mass below which what a step wrote is not followed.

    Raises:
        TargetError: if the target's own step cannot be attributed. An earlier step that cannot is
            an end, with a note.
    """
    first = explainer.named(step, target)
    walk = _Walk(trace, explainer)
    walk.drafts.add(Draft(TARGET, "target", target, step.id, text=first.target_text), "words", 1.0)
    walk.hand_on(step, TARGET, "words", 1.0, first)
    order = [other.id for other in trace.steps]
    for earlier in reversed(trace.steps[: order.index(step.id)]):
        if earlier.id in walk.waiting:
            walk.visit(earlier, smallest)
    return Trajectory(
        trace_id=trace.id,
        step_id=step.id,
        target_name=target,
        text=first.target_text,
        nodes=walk.drafts.nodes(order),
        edges=walk.drafts.edges(),
        steps=tuple(walk.attributed),
        method=first.method,
        hops=first.asked_hops,
        model=first.model,
        fidelity=str(Fidelity.weakest(found.fidelity for found in walk.attributed.values())),
    )


@dataclass(frozen=True, slots=True)
class _Writing:
    """A part of what a step wrote, named as in the prompt that repeats it; see `OwnWords.find`."""

    step: Step
    name: str
    number: int


class _Walk:
    """The state of one walk from the target to the first step."""

    def __init__(self, trace: Trace, explainer: Explainer) -> None:
        self.explainer = explainer
        self.authors = Authorship(trace.steps)
        self.drafts = Drafts()
        self.waiting: dict[str, dict[tuple[str, Flow], Mass]] = {}  # step id -> node, flow -> (N,)
        self.attributed: dict[str, Attribution] = {}
        self._own: dict[str, OwnWords | str] = {}

    def visit(self, step: Step, smallest: float) -> None:
        """Attribute what waits at a step."""
        targets = self.waiting.pop(step.id)
        small = [key for key, weights in targets.items() if weights.sum() < smallest]
        self._rest(small, f"less than {percent(smallest)} came here, so it was not followed")
        chosen = [key for key in targets if key not in small]
        if not chosen:
            return
        try:
            found = self.explainer.weighted(step, [targets[key] for key in chosen])
        except TargetError as error:
            self._rest(chosen, str(error))
            return
        for (node, flow), attribution in zip(chosen, found, strict=True):
            weights = targets[node, flow]
            own = np.flatnonzero(weights)
            self.drafts.describe(node, [attribution.tokens[at] for at in own], weights[own])
            self.hand_on(step, node, flow, float(weights.sum()), attribution)

    def hand_on(self, step: Step, node: str, flow: Flow, mass: float, attribution: Attribution) -> None:
        """Divide a node's mass among the segments of its step's prompt."""
        self.attributed.setdefault(step.id, attribution)
        scores = attribution.scores.astype(np.float64)
        prompt = [segment for segment in attribution.segments if segment.message != -1]
        total = sum(float(scores[s.span.start : s.span.end].sum()) for s in prompt)
        if total <= 0:
            self._rest([(node, flow)], "nothing in the prompt got a score")
            return
        counts: dict[tuple[int | None, str], int] = {}
        for segment in prompt:
            number = counts[segment.message, segment.name] = (
                counts.get((segment.message, segment.name), 0) + 1
            )
            part = scores[segment.span.start : segment.span.end] * (mass / total)
            if part.sum() > 0:
                source = self._source(step, segment, number, part, flow, attribution)
                self.drafts.connect(source, node, flow, float(part.sum()))

    def _source(
        self, step: Step, segment: Segment, number: int, part: Mass, flow: Flow, attribution: Attribution
    ) -> str:
        """Give mass to the node a segment belongs to and return that node's id."""
        pieces = attribution.tokens[segment.span.start : segment.span.end]
        kind = family(segment.name)
        writing, origin = self._author(step, segment, kind, number)
        if writing is not None:
            ids = attribution.input_ids[segment.span.start : segment.span.end].tolist()
            return self._write(writing, part, flow, ids)
        draft = end_of(step, segment)
        if origin is not None:
            draft.id = f"{origin.step.id}/result:{origin.call + 1}"
            draft.step = origin.tool_step
        self.drafts.add(draft, flow, float(part.sum())).describe(pieces, part)
        if origin is not None:
            self._choose(origin, draft.id, float(part.sum()))
        return draft.id

    def _author(
        self, step: Step, segment: Segment, kind: str, number: int
    ) -> tuple[_Writing | None, CallOrigin | None]:
        """Return what of an earlier step a segment repeats, or else the call that fetched it."""
        index = segment.message
        if index is None or step.input[index].example:
            return None, None
        origin: CallOrigin | None = None
        if kind in ("reasoning", "tool_call", "tool_result") and step.input[index].role == "user":
            # A text agent's rounds, all in one message; each act is its author's first.
            found = self.authors.round_of(step, index, segment.name, number)
            if found is not None and kind != "tool_result":
                return _Writing(found[0], segment.name, 1), None
            origin = self.authors.call(*found) if found is not None else None
        elif kind in ("reasoning", "assistant", "tool_call"):
            writer = self.authors.writers(step)[index]
            return (None if writer is None else _Writing(writer, segment.name, number)), None
        elif kind == "user":
            return self._assigned(step, index), None
        if kind != "tool_result":
            return None, None
        origin = origin or self.authors.call_of(step, index)
        inner = None if origin is None else self.authors.inner_answer(origin, step, index)
        return (None, origin) if inner is None else (_Writing(inner, "answer", 1), None)

    def _assigned(self, step: Step, index: int) -> _Writing | None:
        """Return the call that told an agent inside a tool what to do."""
        found = self.authors.assignment(step, index)
        if found is None:
            return None
        caller, number = found
        calls = caller.output.tool_calls if caller.output else ()
        names = [call.name for call in calls[: number + 1]]
        return _Writing(caller, f"tool_call:{names[-1]}", names.count(names[-1]))

    def _write(self, writing: _Writing, part: Mass, flow: Flow, ids: Sequence[int]) -> str:
        """Let mass wait at the tokens that a step wrote."""
        writer, name = writing.step, writing.name
        own = self._words(writer)
        if isinstance(own, str):
            draft = Draft(f"{writer.id}/{name}", "answer", name, writer.id, end=True, note=own)
            if family(name) in ("reasoning", "tool_call"):
                draft.kind = family(name)
            self.drafts.add(draft, flow, float(part.sum()))
            return draft.id
        label, positions = own.find(name, writing.number)
        mass = np.zeros(own.n_tokens)
        mass[positions] = carry(part, ids, own.ids[positions].tolist())
        return self._wait(writer, label, flow, mass)

    def _choose(self, origin: CallOrigin, result: str, mass: float) -> None:
        """Start the flow that led to a result at the call that fetched it."""
        own = self._words(origin.step)
        if isinstance(own, str):
            return
        label, positions = words_of_call(own, origin.step, origin.call)
        weights = np.zeros(own.n_tokens)
        weights[positions] = mass / len(positions)
        node = self._wait(origin.step, label, "choice", weights)
        self.drafts.connect(node, result, "choice", mass)

    def _wait(self, step: Step, label: str, flow: Flow, mass: Mass) -> str:
        """Add mass (N,) on a part of what a step wrote to that step's targets."""
        node = f"{step.id}/{label}"
        self.drafts.add(Draft(node, family(label), label, step.id), flow, float(mass.sum()))
        queue = self.waiting.setdefault(step.id, {})
        queue[node, flow] = queue.get((node, flow), np.zeros(len(mass))) + mass
        return node

    def _words(self, step: Step) -> OwnWords | str:
        """Return what a step wrote, or the reason why that is not known."""
        if step.id not in self._own:
            try:
                self._own[step.id] = own_words(step, self.explainer.segments(step))
            except TargetError as error:
                self._own[step.id] = str(error)
        return self._own[step.id]

    def _rest(self, keys: Sequence[tuple[str, Flow]], note: str) -> None:
        for node, flow in keys:
            self.drafts.rest(node, flow, note)
