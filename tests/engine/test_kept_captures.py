"""Text generated in this process is explained without a second forward, with the same scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.kept import KeptCaptures, kept_captures
from flashtrace_agent.integrations.langchain.generation import PrefixCache, generate
from flashtrace_agent.span import Span

from .tiny_models import tiny_model
from .tiny_tokenizer import tiny_tokenizer

PROMPT = list(range(3, 33))


def write(model: Any, prompt: list[int], count: int, cache: PrefixCache | None = None) -> list[int]:
    return prompt + list(generate(model, prompt, max_new_tokens=count, cache=cache, keep=True))


def forbid_forwards(attributor: Attributor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a forward pass was run")

    monkeypatch.setattr(attributor, "capture", refuse)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "phi3", "qwen3_moe"])
def test_a_kept_capture_gives_the_scores_of_a_forward(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(name)
    attributor = Attributor(model, tiny_tokenizer())
    ids = write(model, PROMPT, 24)
    target, reasoning = Span(46, 52), Span(30, 45)
    with monkeypatch.context() as patch:
        forbid_forwards(attributor, patch)
        kept = attributor.attribute(ids, target, reasoning, hops=2)
    kept_captures(model).clear()
    forward = attributor.attribute(ids, target, reasoning, hops=2)
    for ours, expected in zip(kept.hops, forward.hops, strict=True):
        np.testing.assert_allclose(ours.scores, expected.scores, atol=1e-4 * expected.scores.max())
    np.testing.assert_allclose(kept.scores, forward.scores, atol=1e-4 * forward.scores.max())


def test_a_reused_prefix_is_kept_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's second step starts from the first one's KV cache; its capture is still whole."""
    model, cache = tiny_model("qwen3"), PrefixCache()
    attributor = Attributor(model, tiny_tokenizer())
    first = write(model, PROMPT, 10, cache)
    second = write(model, [*first, 5, 6, 7], 12, cache)
    target = Span(len(second) - 6, len(second) - 1)
    with monkeypatch.context() as patch:
        forbid_forwards(attributor, patch)
        kept = attributor.attribute(second, target)
        attributor.attribute(first, Span(32, 38))
    kept_captures(model).clear()
    forward = attributor.attribute(second, target)
    np.testing.assert_allclose(kept.scores, forward.scores, atol=1e-4 * forward.scores.max())


def test_rows_that_were_not_generated_take_a_forward() -> None:
    """Reasoning inside the prompt was never captured, so the engine runs the model after all."""
    model = tiny_model("llama")
    attributor = Attributor(model, tiny_tokenizer())
    ids = write(model, PROMPT, 12)
    kept = attributor.attribute(ids, Span(35, 40), Span(10, 20))
    kept_captures(model).clear()
    forward = attributor.attribute(ids, Span(35, 40), Span(10, 20))
    np.testing.assert_allclose(kept.scores, forward.scores, rtol=1e-5)


def test_keeping_does_not_change_what_is_generated() -> None:
    model = tiny_model("qwen2")
    kept = write(model, PROMPT, 20)
    plain = PROMPT + list(generate(model, PROMPT, max_new_tokens=20))
    assert kept == plain


def test_the_oldest_capture_goes_when_the_budget_is_spent() -> None:
    model = tiny_model("llama")
    write(model, PROMPT, 5)
    one = kept_captures(model).get(write(model, PROMPT, 6))
    assert one is not None
    captures = KeptCaptures(budget=2 * one.n_bytes)
    for number in range(3):
        captures.put([number], one)
    assert captures.get([0]) is None
    assert captures.get([1]) is captures.get([2]) is one
    captures.set_budget(0)
    assert captures.get([2]) is None


def test_a_model_with_another_attention_generates_with_it_and_keeps_nothing() -> None:
    model = tiny_model("llama")
    model.set_attn_implementation("eager")
    ids = write(model, PROMPT, 8)
    assert kept_captures(model).get(ids) is None
    assert torch.isfinite(
        torch.tensor(Attributor(model, tiny_tokenizer()).attribute(ids, Span(32, 36)).scores)
    ).all()
