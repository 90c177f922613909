"""The other methods, each against its definition."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.methods import METHODS
from flashtrace_agent.errors import UnsupportedModelError
from flashtrace_agent.span import Span

from . import oracle
from .test_against_oracle import ANSWER, REASONING, N, assert_totals_agree, token_ids
from .tiny_models import tiny_model
from .tiny_tokenizer import tiny_tokenizer


@pytest.mark.parametrize("method", METHODS)
def test_every_method_scores_sources_only_and_sums_to_one(method: str) -> None:
    attributor = Attributor(tiny_model("qwen2"), tiny_tokenizer())
    result = attributor.attribute(token_ids(), ANSWER, REASONING, method=method)
    assert result.method == method
    assert result.scores.sum() == pytest.approx(1.0, abs=1e-5)
    assert not result.scores[REASONING.start : REASONING.end].any()
    assert not result.scores[ANSWER.start :].any()
    assert (result.scores >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_targets_together_equal_targets_alone(method: str) -> None:
    attributor = Attributor(tiny_model("llama"), tiny_tokenizer())
    targets = [ANSWER, Span(40, 47)]
    together = attributor.attribute_many(token_ids(), targets, method=method)
    for target, batched in zip(targets, together, strict=True):
        alone = attributor.attribute(token_ids(), target, method=method)
        np.testing.assert_allclose(batched.scores, alone.scores, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-310, 1e307])
@pytest.mark.parametrize("method", METHODS)
def test_only_the_ratios_of_target_weights_count(method: str, scale: float) -> None:
    attributor = Attributor(tiny_model("llama"), tiny_tokenizer())
    weights = np.zeros(N)
    weights[54:N] = 0.25
    weights[57] = 1.0
    expected = attributor.attribute(token_ids(), weights, REASONING, method=method).scores
    scaled = attributor.attribute(token_ids(), weights * scale, REASONING, method=method).scores
    np.testing.assert_allclose(scaled, expected, rtol=1e-3, atol=1e-6)


class Wrapped(torch.nn.Module):
    """Hands on what it does not know, as PEFT's wrapper of a model with adapters does."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


@pytest.mark.parametrize("method", METHODS)
def test_a_wrapped_model_is_attributed_as_itself(method: str) -> None:
    model = tiny_model("gemma3_vision")
    expected = Attributor(model, tiny_tokenizer()).attribute(token_ids(), ANSWER, REASONING, method=method)
    ours = Attributor(Wrapped(model), tiny_tokenizer()).attribute(
        token_ids(), ANSWER, REASONING, method=method
    )
    np.testing.assert_array_equal(ours.scores, expected.scores)


@pytest.mark.parametrize("method", METHODS)
def test_a_callers_autocast_changes_nothing(method: str) -> None:
    attributor = Attributor(tiny_model("qwen3"), tiny_tokenizer())
    expected = attributor.attribute(token_ids(), ANSWER, REASONING, method=method)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = attributor.attribute(token_ids(), ANSWER, REASONING, method=method)
    np.testing.assert_array_equal(result.scores, expected.scores)


def test_an_adapter_that_lengthens_the_prompt_is_refused() -> None:
    model = Wrapped(tiny_model("llama"))
    model.active_peft_config = SimpleNamespace(is_prompt_learning=True)
    with pytest.raises(UnsupportedModelError, match="virtual tokens"):
        Attributor(model, tiny_tokenizer())


def test_tokenwise_is_the_mean_of_single_targets() -> None:
    model, ids = tiny_model("qwen3"), token_ids()
    result = Attributor(model, tiny_tokenizer()).attribute(ids, Span(30, 52), method="ifr_tokenwise")
    layers = oracle.observe(model, ids)
    singles = [oracle.hop_totals(layers, torch.eye(N, dtype=torch.float64)[i]) for i in range(30, 52)]
    assert_totals_agree(result.hops[0].scores, torch.stack(singles).mean(0))


def test_gradient_agrees_with_finite_differences() -> None:
    """Scaling one token's embedding by 1 ± ε changes the log-probability by 2ε times the score."""
    model, ids = tiny_model("llama").double(), token_ids()
    result = Attributor(model, tiny_tokenizer()).attribute(ids, ANSWER, method="gradient")
    embeddings = model.get_input_embeddings()(torch.tensor([ids])).detach()

    def log_prob(position: int, factor: float) -> float:
        scaled = embeddings.clone()
        scaled[0, position] *= factor
        with torch.no_grad():
            table = model(inputs_embeds=scaled).logits[0].log_softmax(-1)
        return float(sum(table[i - 1, ids[i]] for i in range(ANSWER.start, ANSWER.end)))

    for position in (0, 7, 33, 53):
        slope = (log_prob(position, 1.01) - log_prob(position, 0.99)) / 0.02  # norms compute in float32
        assert result.hops[0].scores[position] == pytest.approx(abs(slope), rel=2e-2, abs=1e-4)


def test_auto_says_what_it_picked() -> None:
    attributor = Attributor(tiny_model("qwen3"), tiny_tokenizer())
    result = attributor.attribute(token_ids(), ANSWER, REASONING, method="auto")
    assert result.method == "auto"
    picked = attributor.attribute(token_ids(), ANSWER, REASONING, method=result.settings["picked"])
    np.testing.assert_array_equal(result.scores, picked.scores)
    assert "picked" not in picked.settings
