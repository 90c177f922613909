"""What in a completion can be explained, by name."""

from __future__ import annotations

from typing import Any

from flashtrace_agent.errors import TargetError
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step

from .segmentation import parse_step


def step_targets(tokenizer: Any, step: Step) -> dict[str, tuple[Span, ...]]:
    """Return the targets of a model step: name to token spans, in absolute positions.

    In this order, as far as they exist: ``reasoning``; for each call ``tool_name`` and
    ``argument:NAME``; ``invalid_call`` for each failed attempt at a call; ``answer``. The
    second call's names end in ``#2``, and so on. A value that is an empty text has no tokens
    and is no target. A token that straddles a target's edge is part of it.
    """
    token_text, completion = parse_step(tokenizer, step)
    offset = len(step.prompt_ids or [])
    targets: dict[str, tuple[Span, ...]] = {}

    def add(name: str, *ranges: tuple[int, int]) -> None:
        spans = (token_text.span(start, end) for start, end in ranges)
        found = tuple(Span(offset + span.start, offset + span.end) for span in spans if span)
        if found:
            targets[name] = found

    if completion.reasoning_range is not None:
        add("reasoning", completion.reasoning_range)
    for number, call in enumerate(completion.calls, 1):
        suffix = f"#{number}" if number > 1 else ""
        add(f"tool_name{suffix}", (call.name_start, call.name_end))
        for argument in call.argument_spans:
            add(f"argument:{argument.name}{suffix}", (argument.start, argument.end))
    for number, attempt in enumerate(completion.invalid_calls, 1):
        add("invalid_call" + (f"#{number}" if number > 1 else ""), (attempt.start, attempt.end))
    add("answer", *completion.answer_ranges)
    return targets


def resolve_target(tokenizer: Any, step: Step, text: str) -> tuple[Span, ...]:
    """Return the token spans of a target given by name or as ``START:END``.

    Raises:
        TargetError: if the step has no such target, or the span lies outside its tokens.
    """
    targets = step_targets(tokenizer, step)
    if text in targets:
        return targets[text]
    try:
        span = Span.parse(text)
    except ValueError as error:
        names = ", ".join(targets) or "no named targets"
        raise TargetError(
            f"Step {step.id} has no target {text!r}: it has {names}; or give a span as START:END in tokens."
        ) from error
    n_tokens = len(step.prompt_ids or []) + len(step.completion_ids or [])
    if not span or span.end > n_tokens:
        raise TargetError(
            f"Span {text} is empty or outside step {step.id}: give START:END within its {n_tokens} tokens."
        )
    return (span,)
