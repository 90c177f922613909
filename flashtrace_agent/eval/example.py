"""From puzzles to examples: the model answers, and only a right answer counts.

The model is given the prompts in its own chat template and decodes greedily, several at once. What it
wrote is kept and teacher-forced from then on, so that every method explains the same tokens.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from ..engine.attributor import Attributor
from ..engine.placement import input_device
from ..errors import FlashTraceError
from ..model_lock import model_lock
from ..prompt.rendering import render_prompt
from ..prompt.segmentation import TEMPLATE, parse_step, step_segments
from ..prompt.targets import step_targets
from ..prompt.token_text import TokenText
from ..span import Span, merge_spans, subtract_spans
from ..trace import Fidelity, Step, utc_now
from .tasks import Puzzle, Task

MAX_PIECES = 12
"""Pieces of a prompt that are removed whole; more would cost more than they tell."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt, what the model wrote, and what is asked of every method. Positions are absolute.

    Attributes:
        task: the task's name.
        seed: number of the puzzle within its task.
        ids: prompt + completion, the end-of-turn token left out.
        n_prompt: tokens of the prompt.
        target: the spans to explain.
        evidence: prompt tokens that determine the target.
        deletable: prompt tokens outside the chat template, ascending; the same for every method.
        pieces: sentences or lines that tile `deletable`, for removal as a whole.
    """

    task: str
    seed: int
    ids: tuple[int, ...]
    n_prompt: int
    target: tuple[Span, ...]
    evidence: tuple[int, ...]
    deletable: tuple[int, ...]
    pieces: tuple[tuple[int, ...], ...]

    @property
    def through(self) -> tuple[Span, ...]:
        """What the model wrote before the target's last part: reasoning in the wide sense."""
        end = max(span.start for span in self.target)
        return subtract_spans([Span(self.n_prompt, end)], self.target)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; `from_dict` undoes it."""
        return {
            "task": self.task,
            "seed": self.seed,
            "ids": list(self.ids),
            "n_prompt": self.n_prompt,
            "target": [[span.start, span.end] for span in self.target],
            "evidence": list(self.evidence),
            "deletable": list(self.deletable),
            "pieces": [list(piece) for piece in self.pieces],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Example:
        """Undo `to_dict`."""
        return cls(
            task=data["task"],
            seed=data["seed"],
            ids=tuple(data["ids"]),
            n_prompt=data["n_prompt"],
            target=tuple(Span(start, end) for start, end in data["target"]),
            evidence=tuple(data["evidence"]),
            deletable=tuple(data["deletable"]),
            pieces=tuple(tuple(piece) for piece in data["pieces"]),
        )


def make_examples(attributor: Attributor, task: Task, seeds: Sequence[int]) -> list[Example | str]:
    """Draw puzzles of a task by their numbers and let the model solve them together.

    Returns:
        By seed, the example, or in a few words why there is none.
    """
    tokenizer = attributor.tokenizer
    puzzles = [task.puzzle(random.Random(f"{task.name} {seed}")) for seed in seeds]  # noqa: S311 - no secrets
    prompts = [_prompt(tokenizer, puzzle) for puzzle in puzzles]
    asked = [
        (prompt, puzzle.max_new_tokens)
        for prompt, puzzle in zip(prompts, puzzles, strict=True)
        if not isinstance(prompt, str)
    ]
    completions = iter(_generate(attributor.model, tokenizer, asked))
    return [
        prompt
        if isinstance(prompt, str)
        else _example(tokenizer, task, seed, puzzle, prompt, next(completions))
        for seed, puzzle, prompt in zip(seeds, puzzles, prompts, strict=True)
    ]


def _prompt(tokenizer: Any, puzzle: Puzzle) -> list[int] | str:
    """Return a puzzle's token ids, or why the model cannot be asked."""
    try:
        ids = render_prompt(tokenizer, puzzle.messages, puzzle.tools).ids
    except FlashTraceError as error:
        return str(error)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        return "the tokenizer has no tokens for this text"
    return ids


def _example(
    tokenizer: Any, task: Task, seed: int, puzzle: Puzzle, prompt: list[int], completion: list[int] | None
) -> Example | str:
    if completion is None:
        return "did not come to an end"
    step = Step(
        id="puzzle",
        trace_id="puzzle",
        kind="model",
        name=task.name,
        started_at=utc_now(),
        input=list(puzzle.messages),
        tools=list(puzzle.tools),
        prompt_ids=prompt,
        completion_ids=completion,
        fidelity=Fidelity.EXACT,
    )
    target = _find_target(tokenizer, step, puzzle)
    if target is None or not task.is_right(puzzle, parse_step(tokenizer, step)[1]):
        return "wrong answer"
    text = TokenText(tokenizer, prompt)
    deletable = tuple(
        position
        for segment in step_segments(tokenizer, step)
        if segment.name != TEMPLATE and segment.span.end <= len(prompt)
        for position in range(segment.span.start, segment.span.end)
    )
    evidence = sorted({at for part in puzzle.evidence for at in _places(text, part)})
    return Example(
        task=task.name,
        seed=seed,
        ids=(*prompt, *completion),
        n_prompt=len(prompt),
        target=target,
        evidence=tuple(evidence),
        deletable=deletable,
        pieces=cut_pieces(text.pieces, deletable),
    )


def cut_pieces(
    tokens: Sequence[str], deletable: Sequence[int], most: int = MAX_PIECES
) -> tuple[tuple[int, ...], ...]:
    """Cut the deletable tokens into sentences and lines, joining the shortest neighbours beyond `most`."""
    pieces: list[list[int]] = []
    for position in deletable:
        text = tokens[position - 1].rstrip(" ") if position else ""
        if pieces and pieces[-1][-1] == position - 1 and not text.endswith((".", "?", "!", "\n")):
            pieces[-1].append(position)
        else:
            pieces.append([position])
    while len(pieces) > most:
        at = min(range(len(pieces) - 1), key=lambda i: len(pieces[i]) + len(pieces[i + 1]))
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return tuple(tuple(piece) for piece in pieces)


def _generate(model: Any, tokenizer: Any, asked: Sequence[tuple[list[int], int]]) -> list[list[int] | None]:
    """Return what the model writes up to its end-of-turn token, None where it does not stop or begin.

    Args:
        asked: prompts, each with the most tokens that it may be answered with.
    """
    if not asked:
        return []
    ends = {tokenizer.eos_token_id, model.config.eos_token_id}
    ends.add(tokenizer.get_vocab().get("<|im_end|>"))
    stops = sorted(token for token in ends if isinstance(token, int))
    padding = tokenizer.pad_token_id or stops[0]
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max(most for _, most in asked),
        eos_token_id=stops,
        pad_token_id=padding,
    )
    longest = max(len(prompt) for prompt, _ in asked)
    pads = [longest - len(prompt) for prompt, _ in asked]
    ids = torch.tensor(
        [[padding] * pad + prompt for pad, (prompt, _) in zip(pads, asked, strict=True)]
    )  # (B, n)
    mask = torch.arange(longest) >= torch.tensor(pads)[:, None]  # (B, n)
    device = input_device(model)
    with model_lock(model), torch.no_grad():
        output = model.generate(
            ids.to(device), attention_mask=mask.long().to(device), generation_config=config
        )
    answers = []
    for row, (_, most) in zip(output[:, longest:].tolist(), asked, strict=True):
        end = next((at for at, token in enumerate(row[:most]) if token in stops), 0)
        answers.append(row[:end] or None)
    return answers


def _find_target(tokenizer: Any, step: Step, puzzle: Puzzle) -> tuple[Span, ...] | None:
    """Return the target's token spans if the completion has them, else None."""
    text, completion = parse_step(tokenizer, step)
    offset = len(step.prompt_ids or [])
    if puzzle.target != "answer":
        spans = step_targets(tokenizer, step).get(puzzle.target)
        if spans is None:
            return None
        wrote = "".join(text.pieces[spans[0].start - offset : spans[-1].end - offset])
        return spans if puzzle.answer[0] in wrote and len(wrote) <= len(puzzle.answer[0]) + 2 else None
    if not completion.answer_ranges:
        return None
    at, end = completion.answer_ranges[0]
    spans_found = []
    for value in puzzle.answer:
        at = text.text.find(value, at, end)
        if at < 0:
            return None
        span = text.span(at, at + len(value))
        spans_found.append(Span(offset + span.start, offset + span.end))
        at += len(value)
    return merge_spans(spans_found)


def _places(text: TokenText, part: str) -> range:
    count = text.text.count(part)
    assert count == 1, f"evidence {part!r} occurs {count} times in the prompt"
    at = text.text.index(part)
    lead = len(part) - len(part.lstrip())
    span = text.span(at + lead, at + len(part))
    return range(span.start, span.end)
