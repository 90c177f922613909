"""Take a completion apart into reasoning, tool calls and answer.

1. Trailing end-of-turn tokens are set aside.
2. The reasoning is split off: from ``<think>``, or from the very start where the prompt
   already ended in ``<think>``, to ``</think>``. A ``<think>`` that begins the completion and
   is not closed was cut off: all is reasoning. Elsewhere it needs its closing tag. Mistral's
   models write ``[THINK]`` and ``[/THINK]``.
3. The format that finds the first call in the rest says where the calls are.
4. What is left is the answer.

A text agent's thoughts and actions (`react`) are looked for only where its prompt asks for them.

A further call format is one module with a ``scan`` function, and one line in `FORMATS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from . import deepseek, hermes, llama, pythonic, react, tagged_list, tagged_parameters
from .pieces import Completion, InvalidCall, ParsedArgument, ParsedCall, trim

__all__ = ["Completion", "InvalidCall", "ParsedArgument", "ParsedCall", "parse_completion"]

Scan = Callable[[str, int, int], Sequence[ParsedCall | InvalidCall]]

FORMATS: tuple[Scan, ...] = (
    hermes.scan,
    tagged_parameters.scan,
    tagged_list.scan,
    deepseek.scan,
    llama.scan,
    pythonic.scan,
)
"""The call formats. Where several find something, the one that does first in the text is right:
what looks like another format's tag lies inside its call."""

OPENINGS = (
    hermes.OPEN,
    tagged_parameters.OPEN,
    *tagged_list.OPENINGS,
    *deepseek.OPENINGS,
    llama.TAG,
    pythonic.OPEN,
)
"""What a call begins with in these formats, but for those without a tag, which are the whole answer."""

END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eom|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eot|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
    "</s>",
)
"""Special tokens that end a turn, as the model families write them."""

THINK_TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
"""What reasoning stands between, as the model families write it."""

_THINK_TAG = re.compile("|".join(re.escape(tag) for pair in THINK_TAGS for tag in pair))
_THINK_CLOSE = re.compile("|".join(re.escape(closing) for _, closing in THINK_TAGS))


def parse_completion(text: str, *, in_reasoning: bool = False, text_agent: bool = False) -> Completion:
    """Take a completion apart. Every text is accepted; nothing is raised.

    Args:
        text: the decoded completion with its special tokens.
        in_reasoning: True where the prompt already ended in the tag that opens reasoning.
        text_agent: True where the prompt asks for thoughts and actions as text (`react.instructs`).
    """
    end = _end_of_words(text)
    reasoning, (before, after) = _split_reasoning(text, end, in_reasoning)
    acted = react.read(text, after, end) if text_agent else None
    if acted is not None:
        span = acted.reasoning_range
        if reasoning is not None:  # a reasoning model's thinking, before its thought
            span = (reasoning[0], (span or reasoning)[1])
        return replace(acted, reasoning=text[slice(*span)] if span else None, reasoning_range=span)
    found: list[ParsedCall | InvalidCall] = []
    answer: list[tuple[int, int]] = []
    for position, stop in ((0, before), (after, end)):
        pieces = _scan(text, position, stop)
        for piece in pieces:
            answer.append(trim(text, position, piece.start))
            position = piece.end
        answer.append(trim(text, position, stop))
        found += pieces
    answer_ranges = tuple((start, stop) for start, stop in answer if start < stop)
    return Completion(
        text=text,
        reasoning=text[slice(*reasoning)] if reasoning else None,
        reasoning_range=reasoning,
        answer="\n".join(text[start:stop] for start, stop in answer_ranges),
        answer_ranges=answer_ranges,
        calls=tuple(piece for piece in found if isinstance(piece, ParsedCall)),
        invalid_calls=tuple(piece for piece in found if isinstance(piece, InvalidCall)),
    )


def opens_reasoning(prompt: str) -> bool:
    """Tell whether a prompt, or the end of one, has the reasoning begin before the completion does."""
    return prompt.rstrip().endswith(tuple(opening for opening, _ in THINK_TAGS))


def after_reasoning(text: str) -> str:
    """Return what stands after the last tag that closes reasoning."""
    return _THINK_CLOSE.split(text)[-1]


def _scan(text: str, start: int, end: int) -> Sequence[ParsedCall | InvalidCall]:
    findings = [found for scan in FORMATS if (found := scan(text, start, end))]
    return min(findings, key=lambda found: found[0].start, default=())


def _end_of_words(text: str) -> int:
    """Return where the text ends without trailing whitespace and end-of-turn tokens."""
    # Struck-through text in the answer, not the end of it.
    marks = tuple(mark for mark in END_TOKENS if mark != "</s>" or "<s>" not in text)
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        mark = next((mark for mark in marks if text.endswith(mark, 0, end)), None)
        if mark is None:
            return end
        end -= len(mark)


def _split_reasoning(
    text: str, end: int, in_reasoning: bool
) -> tuple[tuple[int, int] | None, tuple[int, int]]:
    """Return the reasoning's range, if any, and the same with its tags and surroundings."""
    opening_tag, closing_tag = _think_tags(text)
    first, _ = trim(text, 0, end)
    start = first + len(opening_tag) if text.startswith(opening_tag, first, end) else first
    outer = 0
    close = text.find(closing_tag, start, end)
    if start == first and not in_reasoning:
        # A closing tag alone ends reasoning whose opening tag was in the prompt, unless it is
        # merely quoted in the argument of a call.
        if close < 0 or _in_a_call(text, close, end):
            return None, (0, 0)
        opening = text.find(opening_tag, 0, close)
        if opening >= 0:
            outer, start = opening, opening + len(opening_tag)
    reasoning = trim(text, start, close if close >= 0 else end)
    rest = close + len(closing_tag) if close >= 0 else end
    return (reasoning if reasoning[0] < reasoning[1] else None), (outer, rest)


def _think_tags(text: str) -> tuple[str, str]:
    """Return the pair of tags of which one comes first in a text, else the usual one."""
    first = _THINK_TAG.search(text)
    return next((pair for pair in THINK_TAGS if first and first[0] in pair), THINK_TAGS[0])


def _in_a_call(text: str, position: int, end: int) -> bool:
    return any(
        isinstance(piece, ParsedCall) and piece.start <= position < piece.end for piece in _scan(text, 0, end)
    )
