"""What is measured on a case, by name. To add a subject: write its function and name it in `SUBJECTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from flashtrace_agent.integrations.langchain.generation import generate

from ..engine.attributor import Attributor
from ..errors import FlashTraceError
from ..span import Span
from .case import Case, sequence
from .reference import reference_subject

Run = Callable[[], Any]

GENERATED_TOKENS = 64
"""Tokens the generation subjects write at most."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to time.

    Attributes:
        label: what tables call it.
        prepare: makes the call that is timed; what it does before is not.
    """

    label: str
    prepare: Callable[[Attributor, Case], Run]


def subjects_named(text: str) -> list[str]:
    """Read names separated by commas, or ``all``; the forward that ratios are to always comes first.

    Raises:
        FlashTraceError: if there is no subject of a name, listing those there are.
    """
    names = list(SUBJECTS) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SUBJECTS:
            raise FlashTraceError(f"There is no subject {name!r}; choose among {', '.join(SUBJECTS)}.")
    return ["forward", *(name for name in names if name != "forward")]


def _forward(attributor: Attributor, case: Case) -> Run:
    device = next(attributor.model.parameters()).device
    batch = torch.tensor([sequence(attributor, case)], device=device)

    def run() -> None:
        with torch.inference_mode():
            attributor.model(batch, use_cache=False)

    return run


def _attribution(method: str) -> Callable[[Attributor, Case], Run]:
    def prepare(attributor: Attributor, case: Case) -> Run:
        ids = sequence(attributor, case)
        return lambda: attributor.attribute(ids, case.answer, case.reasoning, method=method)

    return prepare


def _kept(method: str) -> Callable[[Attributor, Case], Run]:
    def prepare(attributor: Attributor, case: Case) -> Run:
        ids = sequence(attributor, case)
        capture = attributor.capture(ids, np.arange(case.prompt - 1, len(ids)))
        return lambda: attributor.attribute(ids, case.answer, case.reasoning, method=method, capture=capture)

    return prepare


def _ten_targets(method: str) -> Callable[[Attributor, Case], Run]:
    """Ten neighbouring pieces of the answer, all through the same reasoning."""

    def prepare(attributor: Attributor, case: Case) -> Run:
        ids, answer = sequence(attributor, case), case.answer
        cuts = np.linspace(answer.start, answer.end, min(10, len(answer)) + 1).astype(int).tolist()
        targets = [Span(start, end) for start, end in pairwise(cuts)]
        through = [case.reasoning] * len(targets)
        return lambda: attributor.attribute_many(ids, targets, through, method=method)

    return prepare


def _tokenwise(attributor: Attributor, case: Case) -> Run:
    ids = sequence(attributor, case)
    generated = Span(case.prompt, len(ids))
    return lambda: attributor.attribute(ids, generated, method="ifr_tokenwise")


def _generation(*, keep: bool) -> Callable[[Attributor, Case], Run]:
    def prepare(attributor: Attributor, case: Case) -> Run:
        prompt = sequence(attributor, case)[: case.prompt]
        wanted = min(GENERATED_TOKENS, case.generated)

        def run() -> None:
            for _ in generate(attributor.model, prompt, max_new_tokens=wanted, keep=keep):
                pass

        return run

    return prepare


SUBJECTS: dict[str, Subject] = {
    "forward": Subject("the model's own SDPA forward", _forward),
    "attribution": Subject("attribution by flashtrace, 1 hop, forward included", _attribution("flashtrace")),
    "kept": Subject("the same from a kept capture", _kept("flashtrace")),
    "ten_targets": Subject("ten targets together, forward included", _ten_targets("flashtrace")),
    "walk": Subject("attribution by walk, forward included", _attribution("walk")),
    "walk_kept": Subject("the same from a kept capture", _kept("walk")),
    "walk_ten_targets": Subject("ten targets together, forward included", _ten_targets("walk")),
    "generation": Subject(f"prefill and generation of {GENERATED_TOKENS} tokens", _generation(keep=False)),
    "generation_kept": Subject("the same, keeping what attribution needs", _generation(keep=True)),
    "tokenwise": Subject("ifr_tokenwise over all generated tokens", _tokenwise),
    "reference": Subject("flashtrace 0.1.1 (public call)", reference_subject),
}
