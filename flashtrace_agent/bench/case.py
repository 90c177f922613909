"""On what is measured: a model, and a sequence with prompt, reasoning and answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

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

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return f"{self.prompt}:{self.generated}"


def load_subject_model(name: str, shape: str | None, longest: int) -> Attributor:
    """Return an attributor over real weights, or over random ones of a named shape.

    Args:
        longest: tokens of the longest sequence to be measured. A model takes it even beyond its
            context: what it computes there is worth nothing, what it costs is the same.
    """
    if shape is not None:
        attributor = random_model(shape)
    else:
        device_map = "auto" if torch.cuda.is_available() else None
        attributor = Attributor.from_pretrained(name, device_map=device_map)
    config = attributor.model.config.get_text_config(decoder=True)
    config.max_position_embeddings = max(config.max_position_embeddings, longest)
    return attributor


def sequence(attributor: Attributor, case: Case) -> list[int]:
    """Return token ids of real text (`passage.json`), repeated to the case's length."""
    text = (resources.files("flashtrace_agent.bench") / "passage.json").read_text(encoding="utf-8")
    ids: list[int] = attributor.tokenizer(" ".join(json.loads(text)), add_special_tokens=False).input_ids
    wanted = case.prompt + case.generated
    return (ids * (wanted // len(ids) + 1))[:wanted]
