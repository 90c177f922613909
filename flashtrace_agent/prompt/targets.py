"""What in a completion can be explained, by name."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from flashtrace_agent.completion import Completion, opens_reasoning, parse_completion
from flashtrace_agent.completion.react import instructs
from flashtrace_agent.errors import TargetError
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step

from .segmentation import PROMPT_END, parse_step


def step_targets(tokenizer: Any, step: Step) -> dict[str, tuple[Span, ...]]:
    """Return the targets of a model step: name to token spans, in absolute positions.

    In this order, as far as they exist: ``reasoning``; for each call ``tool_name`` and
    ``argument:NAME``; ``invalid_call`` for each failed attempt at a call; ``answer``. The
    second call's names end in ``#2``, and so on. A value that is an empty text has no tokens
    and is no target. A token that straddles a target's edge is part of it.
    """
    token_text, completion = parse_step(tokenizer, step)
    return _named(completion, token_text.span, len(step.prompt_ids or []))


def text_targets(tokens: Sequence[str], written: int) -> dict[str, tuple[Span, ...]]:
    """Return the same from the texts of a step's tokens, where there is no tokenizer at hand.

    Args:
        tokens: text of each token of prompt and completion, as in `Attribution.tokens`.
        written: how many of them are the prompt.
    """
    pieces = tokens[written:]
    ends = list(accumulate(map(len, pieces)))
    in_reasoning = opens_reasoning("".join(tokens[max(written - PROMPT_END, 0) : written]))
    prompt = "".join(tokens[:written])

    def span(start: int, end: int) -> Span:
        first = bisect_right(ends, start)
        return Span(first, bisect_left(ends, end) + 1) if start < end else Span(first, first)

    text_agent = "<tools>" not in prompt and instructs(prompt)
    found = parse_completion("".join(pieces), in_reasoning=in_reasoning, text_agent=text_agent)
    return _named(found, span, written)


def _named(
    completion: Completion, span_of: Callable[[int, int], Span], offset: int
) -> dict[str, tuple[Span, ...]]:
    """Name a completion's parts; `span_of` turns a range of its characters into its tokens."""
    targets: dict[str, tuple[Span, ...]] = {}

    def add(name: str, *ranges: tuple[int, int]) -> None:
        spans = (span_of(start, end) for start, end in ranges)
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
