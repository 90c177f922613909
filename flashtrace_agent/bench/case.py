"""What is measured: a model, a sequence with prompt, reasoning and answer, and subjects to time on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import torch

from ..engine.attributor import Attributor
from ..errors import FlashTraceError
from ..span import Span
from .shapes import random_model

ANSWER_TOKENS = 40
"""Tokens of the answer at the end of the generated part; the rest of it is reasoning."""


@dataclass(frozen=True, slots=True)
class Case:
    """One sequence: `prompt` tokens, then `generated` tokens of reasoning and answer."""

    prompt: int
    generated: int

    @property
    def answer(self) -> Span:
        """The attributed span."""
        end = self.prompt + self.generated
        return Span(end - min(ANSWER_TOKENS, max(1, self.generated // 2)), end)

    @property
    def reasoning(self) -> Span | None:
        """The span the recursion passes through."""
        return Span(self.prompt, self.answer.start) if self.answer.start > self.prompt else None

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read ``PROMPT:GENERATED``.

        Raises:
            FlashTraceError: if the text is something else.
        """
        prompt, separator, generated = text.partition(":")
        if (
            not separator
            or not prompt.isdigit()
            or not generated.isdigit()
            or not int(prompt) * int(generated)
        ):
            raise FlashTraceError(f"{text!r} is no case; write PROMPT:GENERATED in tokens, as in 1000:500.")
        return cls(int(prompt), int(generated))


def load_subject_model(name: str, shape: str | None) -> Attributor:
    """Return an attributor over real weights, or over random ones of a named shape."""
    if shape is not None:
        return random_model(shape)
    device_map = "auto" if torch.cuda.is_available() else None
    return Attributor.from_pretrained(name, device_map=device_map)


def sequence(attributor: Attributor, case: Case) -> list[int]:
    """Return token ids of real text (`passage.json`), repeated to the case's length."""
    text = (resources.files("flashtrace_agent.bench") / "passage.json").read_text(encoding="utf-8")
    ids: list[int] = attributor.tokenizer(" ".join(json.loads(text)), add_special_tokens=False).input_ids
    wanted = case.prompt + case.generated
    return (ids * (wanted // len(ids) + 1))[:wanted]


def subjects(attributor: Attributor, case: Case, wanted: list[str]) -> dict[str, Callable[[], Any]]:
    """Return what to time by name: ``forward``, ``attribution``, ``kept`` and ``flashtrace 0.1.1``."""
    ids = sequence(attributor, case)
    device = next(attributor.model.parameters()).device
    batch = torch.tensor([ids], device=device)
    first = case.reasoning.start if case.reasoning else case.answer.start

    def forward() -> None:
        with torch.inference_mode():
            attributor.model(batch, use_cache=False)

    def attribution() -> None:
        attributor.attribute(ids, case.answer, case.reasoning)

    available: dict[str, Callable[[], Any]] = {"forward": forward, "attribution": attribution}
    if "kept" in wanted:
        capture = attributor.capture(ids, np.arange(first, len(ids)))

        def kept() -> None:
            attributor.attribute(ids, case.answer, case.reasoning, capture=capture)

        available["kept"] = kept
    if "reference" in wanted:
        from .reference import reference_subject

        available["reference"] = reference_subject(attributor, ids, case)
    return {name: available[name] for name in wanted}
