"""Weights as users have them: elsewhere than in memory, or not as a plain matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload, disk_offload
from torch import nn

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.span import Span

from .test_against_oracle import ANSWER, REASONING, token_ids
from .tiny_models import tiny_model
from .tiny_tokenizer import tiny_tokenizer


def assert_same_scores(model: Any, name: str) -> None:
    expected = Attributor(tiny_model(name), tiny_tokenizer()).attribute(token_ids(), ANSWER, REASONING)
    result = Attributor(model, tiny_tokenizer()).attribute(token_ids(), ANSWER, REASONING)
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["llama_biased", "qwen2", "gemma2", "phi3"])
def test_weights_offloaded_to_disk(name: str, tmp_path: Path) -> None:
    """No layer's weights are resident while it does not run."""
    model = disk_offload(tiny_model(name), tmp_path, execution_device=torch.device("cpu"))
    assert all(parameter.device.type == "meta" for parameter in model.parameters())
    assert_same_scores(model, name)
    assert all(parameter.device.type == "meta" for parameter in model.parameters())


def test_weights_offloaded_to_memory() -> None:
    model = cpu_offload(tiny_model("qwen3"), execution_device=torch.device("cpu"))
    assert_same_scores(model, "qwen3")


class Packed(nn.Module):
    """A projection whose weight is no matrix, as quantized ones are."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.bias = linear.bias
        self.packed = nn.Parameter(linear.weight.detach().flatten().clone())
        self.rows = linear.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.packed.view(self.rows, -1), self.bias)


@pytest.mark.parametrize("name", ["llama", "llama_biased"])
def test_a_projection_that_is_no_linear_layer(name: str) -> None:
    """The engine asks the module instead of reading ``.weight``."""
    model = tiny_model(name)
    for layer in model.model.layers:
        layer.self_attn.o_proj = Packed(layer.self_attn.o_proj)
    assert_same_scores(model, name)


def test_without_a_tokenizer_tokens_are_shown_by_number() -> None:
    result = Attributor(tiny_model("llama"), None).attribute([5, 6, 7, 8], Span(3, 4))
    assert result.tokens == ("⟨5⟩", "⟨6⟩", "⟨7⟩", "⟨8⟩")
