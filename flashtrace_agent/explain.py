"""From a recorded step to attributions: which prompt tokens caused this tool call, this answer?

A target inside a completion (a tool's name, an argument, the answer) is attributed through
everything the model wrote before it in the same step, reasoning first of all, because those
words came from the prompt too. So the shares always speak of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .attribution import Attribution
from .errors import TargetError
from .prompt.segmentation import step_segments
from .prompt.targets import resolve_target, step_targets
from .span import Span, subtract_spans
from .trace import Fidelity, Step

if TYPE_CHECKING:
    from .engine.attributor import Attributor


def explain_step(
    attributor: Attributor,
    step: Step,
    targets: Sequence[str] | None = None,
    *,
    hops: int = 1,
    method: str = "flashtrace",
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
    if step.kind != "model":
        raise TargetError(f"Step {step.id} is a {step.kind} step; only model steps can be attributed.")
    ids = step.token_ids
    if ids is None:
        raise TargetError(
            f"Step {step.id} has no token ids ({step.fidelity_reason or 'text only'}); record it with "
            "ChatTransformers, which knows them."
        )
    if not step.completion_ids:
        raise TargetError(f"Step {step.id} has an empty completion; there is nothing to attribute.")
    tokenizer = attributor.tokenizer
    chosen = (
        step_targets(tokenizer, step)
        if targets is None
        else {name: resolve_target(tokenizer, step, name) for name in targets}
    )
    if not chosen:
        return []
    written = len(ids) - len(step.completion_ids)
    through = [_written_before(spans, written) for spans in chosen.values()]
    results = attributor.attribute_many(ids, list(chosen.values()), through, hops=hops, method=method)
    segments = tuple(step_segments(tokenizer, step))
    fidelity = str(step.fidelity or Fidelity.APPROXIMATE)
    return [
        replace(result, target_name=name, segments=segments, fidelity=fidelity)
        for name, result in zip(chosen, results, strict=True)
    ]


def _written_before(target: Sequence[Span], written: int) -> tuple[Span, ...] | None:
    """Return what the model wrote before the target's last part, or None where it wrote nothing."""
    end = max(span.start for span in target)
    before = subtract_spans([Span(written, end)], target) if end > written else ()
    return before or None
