"""What a step wrote, as tokens, and which of them a message in a later prompt repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flashtrace_agent.errors import TargetError
from flashtrace_agent.segment import Segment
from flashtrace_agent.trace import Step

Positions = npt.NDArray[np.intp]

EVERYTHING = "words"
"""Label of all a step wrote, for what cannot be told apart further."""


@dataclass(frozen=True, slots=True)
class OwnWords:
    """A step's completion, cut up.

    Attributes:
        ids: int64 (N,), prompt + completion.
        parts: token positions of each part by its label: ``reasoning``, ``answer``,
            ``tool_call:NAME``, the second call of that name with ``#2``, and so on.
    """

    ids: npt.NDArray[np.int64]
    parts: dict[str, Positions]

    @property
    def n_tokens(self) -> int:
        """Length of prompt + completion."""
        return len(self.ids)

    def find(self, name: str, number: int) -> tuple[str, Positions]:
        """Return label and positions of what the `number`-th prompt segment `name` repeats.

        In a history the answer is called ``assistant``. Where the completion has no such part
        (the step left its call as text, say), all of it is meant.
        """
        if name in ("assistant", "answer", "reasoning"):
            label = "reasoning" if name == "reasoning" else "answer"
        else:
            label = name if number == 1 else f"{name}#{number}"
        return (label, self.parts[label]) if label in self.parts else (EVERYTHING, self.parts[EVERYTHING])


def own_words(step: Step, segments: Sequence[Segment]) -> OwnWords:
    """Cut up what a step wrote.

    Raises:
        TargetError: if it wrote nothing that is known.
    """
    ids = step.token_ids
    if ids is None or not step.completion_ids:
        raise TargetError(f"Step {step.id} has no token ids, so what it wrote cannot be followed.")
    written = [segment for segment in segments if segment.message == -1]
    parts: dict[str, list[int]] = {}
    calls: dict[str, int] = {}
    for segment in written:
        label = segment.name
        if label == "template":
            continue
        if label.startswith("tool_call:"):
            calls[label] = calls.get(label, 0) + 1
            label = label if calls[segment.name] == 1 else f"{label}#{calls[segment.name]}"
        parts.setdefault(label, []).extend(range(segment.span.start, segment.span.end))
    everything = list(range(len(ids) - len(step.completion_ids), len(ids)))
    parts[EVERYTHING] = sorted(at for found in parts.values() for at in found) or everything
    return OwnWords(
        np.asarray(ids, dtype=np.int64),
        {label: np.asarray(found, dtype=np.intp) for label, found in parts.items()},
    )


def words_of_call(own: OwnWords, step: Step, call: int) -> tuple[str, Positions]:
    """Return label and positions of a step's call, given by its number from 0."""
    calls = step.output.tool_calls if step.output else ()
    if call < len(calls):
        number = [other.name for other in calls[: call + 1]].count(calls[call].name)
        return own.find(f"tool_call:{calls[call].name}", number)
    labels = [label for label in own.parts if label.startswith("tool_call:")]
    label = labels[call] if call < len(labels) else EVERYTHING
    return label, own.parts[label]
