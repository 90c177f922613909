"""From a recorded step to attributions: which prompt tokens caused this tool call, this answer?

A target inside a completion (a tool's name, an argument, the answer) is attributed through
everything the model wrote before it in the same step, reasoning first of all, because those
words came from the prompt too. So the shares always speak of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .attribution import Attribution
from .defaults import DEFAULT_METHOD
from .errors import TargetError
from .prompt.segmentation import step_segments
from .prompt.targets import resolve_target, step_targets
from .segment import Segment
from .span import Span, merge_spans, subtract_spans
from .trace import Fidelity, Step

if TYPE_CHECKING:
    from .engine.attributor import Attributor


def explain_step(
    attributor: Attributor,
    step: Step,
    targets: Sequence[str] | None = None,
    *,
    hops: int = 1,
    method: str = DEFAULT_METHOD,
) -> list[Attribution]:
    """Attribute targets of a model step, sharing one forward pass.

    Args:
        attributor: holds the model that wrote the step.
        step: a model step with known token ids.
        targets: names as `step_targets` gives them, or ``START:END``; None for every named one.
        hops: how many times influence on the model's own words is passed on to the prompt.
        method: a registered method.

    Raises:
        TargetError: if the step has no ids, no completion, or no such target.
        SequenceError: if the ids do not fit the model.
    """
    ids, written = known_ids(step)
    tokenizer = attributor.tokenizer
    chosen = (
        step_targets(tokenizer, step)
        if targets is None
        else {name: resolve_target(tokenizer, step, name) for name in targets}
    )
    if not chosen:
        return []
    through = [_written_before(spans, written) for spans in chosen.values()]
    results = attributor.attribute_many(ids, list(chosen.values()), through, hops=hops, method=method)
    segments = tuple(step_segments(tokenizer, step))
    fidelity = str(step.fidelity or Fidelity.APPROXIMATE)
    return [
        replace(result, target_name=name, segments=segments, fidelity=fidelity)
        for name, result in zip(chosen, results, strict=True)
    ]


def explain_words(
    attributor: Attributor,
    step: Step,
    weights: Sequence[npt.NDArray[np.float64]],
    segments: Sequence[Segment],
    *,
    hops: int = 1,
    method: str = DEFAULT_METHOD,
) -> list[Attribution]:
    """Attribute some of the words a model step wrote, given by weights, sharing one forward pass.

    Args:
        weights: for each target the weight of every token, float64 (N,), positive in the completion.
        segments: the step's segments, as `step_segments` gives them.

    Other arguments and errors are those of `explain_step`.
    """
    ids, written = known_ids(step)
    targets = [merge_spans(Span(at, at + 1) for at in np.flatnonzero(each).tolist()) for each in weights]
    through = [_written_before(spans, written) for spans in targets]
    results = attributor.attribute_many(ids, list(weights), through, hops=hops, method=method)
    fidelity = str(step.fidelity or Fidelity.APPROXIMATE)
    return [replace(result, segments=tuple(segments), fidelity=fidelity) for result in results]


def known_ids(step: Step) -> tuple[list[int], int]:
    """Return a model step's token ids (N,) and where its completion begins.

    Raises:
        TargetError: if it is no model step, its ids are unknown, or it wrote nothing.
    """
    if step.kind != "model":
        raise TargetError(f"Step {step.id} is a {step.kind} step; only model steps can be attributed.")
    ids = step.token_ids
    if ids is None:
        raise TargetError(
            f"Step {step.id} has no token ids ({step.fidelity_reason or 'text only'}); find them with "
            "`flashtrace-agent tokenize`, or record with ChatTransformers or ChatVLLM, which know them."
        )
    if not step.completion_ids:
        raise TargetError(f"Step {step.id} has an empty completion; there is nothing to attribute.")
    return ids, len(ids) - len(step.completion_ids)


def _written_before(target: Sequence[Span], written: int) -> tuple[Span, ...] | None:
    """Return what the model wrote before the target's last part, or None where it wrote nothing."""
    end = max(span.start for span in target)
    before = subtract_spans([Span(written, end)], target) if end > written else ()
    return before or None
