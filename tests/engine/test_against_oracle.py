"""The engine equals the float64 oracle on every supported architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.span import Span

from . import oracle
from .tiny_models import CONFIGS, tiny_model
from .tiny_tokenizer import tiny_tokenizer

N = 60
PROMPT, REASONING, ANSWER = Span(0, 30), Span(30, 52), Span(54, 60)


def token_ids(n: int = N, seed: int = 1) -> list[int]:
    return torch.randint(3, 128, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def assert_totals_agree(ours: Any, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    """Error at most `tolerance` of the largest score, and 1 % for tokens above 1 % of it."""
    ours = torch.as_tensor(np.asarray(ours, dtype=np.float64))
    largest = float(expected.max())
    error = (ours - expected).abs()
    assert float(error.max()) <= tolerance * largest
    visible = expected > 0.01 * largest
    assert float((error[visible] / expected[visible]).max()) <= 0.01


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("hops", [0, 1, 3])
def test_every_hop_agrees_with_the_oracle(name: str, hops: int) -> None:
    model = tiny_model(name)
    ids = token_ids()
    result = Attributor(model, tiny_tokenizer()).attribute(
        ids, ANSWER, REASONING, hops=hops, method="flashtrace"
    )
    target = torch.zeros(N, dtype=torch.float64)
    target[ANSWER.start : ANSWER.end] = 1.0
    reasoning = torch.zeros(N, dtype=torch.bool)
    reasoning[REASONING.start : REASONING.end] = True
    raw, final = oracle.flashtrace(model, ids, target, reasoning, hops)
    assert len(result.hops) == len(raw) == hops + 1
    for hop, expected in zip(result.hops, raw, strict=True):
        assert_totals_agree(hop.scores, expected)
    assert_totals_agree(result.scores, final)
    assert result.scores.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral_window", "gemma3"])
def test_weighted_scattered_targets_through_several_spans_agree(name: str) -> None:
    model = tiny_model(name, seed=3)
    ids = token_ids(seed=4)
    weights = np.zeros(N)
    weights[[31, 45, 57, 59]] = [0.5, 2.0, 1.0, 0.25]
    spans = [Span(33, 36), Span(40, 44), Span(50, 55)]
    result = Attributor(model, tiny_tokenizer()).attribute(ids, weights, spans, hops=2, method="flashtrace")
    reasoning = torch.zeros(N, dtype=torch.bool)
    for span in spans:
        reasoning[span.start : span.end] = True
    raw, final = oracle.flashtrace(model, ids, torch.from_numpy(weights), reasoning, 2)
    for hop, expected in zip(result.hops, raw, strict=True):
        assert_totals_agree(hop.scores, expected)
    assert_totals_agree(result.scores, final)


@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral_window", "gemma2", "phi3_long"])
def test_a_chunked_prefill_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = tiny_model(name), token_ids()
    attributor = Attributor(model, tiny_tokenizer())
    whole = attributor.attribute(ids, ANSWER, REASONING, method="flashtrace")
    monkeypatch.setattr(
        attributor, "capture", lambda i, rows: Attributor.capture(attributor, i, rows, chunk=13)
    )
    chunked = attributor.attribute(ids, ANSWER, REASONING, method="flashtrace")
    np.testing.assert_allclose(chunked.scores, whole.scores, rtol=1e-4, atol=1e-6)


def test_many_targets_at_once_equal_each_alone() -> None:
    """Targets of one step share a capture and nothing else."""
    model, ids = tiny_model("qwen3"), token_ids()
    attributor = Attributor(model, tiny_tokenizer())
    targets = [ANSWER, Span(30, 40), Span(55, 56)]
    through = [REASONING, None, Span(30, 50)]
    together = attributor.attribute_many(ids, targets, through, hops=2, method="flashtrace")
    for target, reasoning, batched in zip(targets, through, together, strict=True):
        alone = attributor.attribute(ids, target, reasoning, hops=2, method="flashtrace")
        np.testing.assert_allclose(batched.scores, alone.scores, rtol=1e-4, atol=1e-7)
        assert len(batched.hops) == len(alone.hops)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_ranks_like_float32(dtype: torch.dtype) -> None:
    model, ids = tiny_model("llama"), token_ids()
    full = Attributor(model, tiny_tokenizer()).attribute(ids, ANSWER, REASONING, method="flashtrace")
    half = Attributor(tiny_model("llama").to(dtype), tiny_tokenizer()).attribute(
        ids, ANSWER, REASONING, method="flashtrace"
    )
    assert half.settings["dtype"] == str(dtype).removeprefix("torch.")
    assert float(np.corrcoef(full.scores, half.scores)[0, 1]) > 0.99


def test_ifr_is_the_first_hop_alone() -> None:
    model, ids = tiny_model("qwen2"), token_ids()
    attributor = Attributor(model, tiny_tokenizer())
    recursive = attributor.attribute(ids, ANSWER, REASONING, hops=1, method="flashtrace")
    plain = attributor.attribute(ids, ANSWER, REASONING, method="ifr")
    assert len(plain.hops) == 1
    np.testing.assert_allclose(plain.hops[0].scores, recursive.hops[0].scores, rtol=1e-5)
