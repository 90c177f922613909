"""Weights as users have them: elsewhere than in memory, or not as a plain matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload, disk_offload
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen3Config

from flashtrace_agent.bench.case import Case, sequence
from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.kept import kept_captures
from flashtrace_agent.errors import UnsupportedModelError
from flashtrace_agent.integrations.langchain.generation import generate
from flashtrace_agent.span import Span

from .test_against_oracle import ANSWER, REASONING, token_ids
from .tiny_models import tiny_model
from .tiny_tokenizer import tiny_tokenizer


def assert_same_scores(model: Any, name: str, twin: Any = None) -> None:
    """By methods that read a layer's weights after the forward, while the layer runs, and on the way back."""
    dense = Attributor(twin or tiny_model(name), tiny_tokenizer())
    for method in ("flashtrace", "walk", "gradient", "contrast", "ablation"):
        expected = dense.attribute(token_ids(), ANSWER, REASONING, method=method)
        result = Attributor(model, tiny_tokenizer()).attribute(token_ids(), ANSWER, REASONING, method=method)
        np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["llama_biased", "qwen2", "gemma2", "phi3"])
def test_weights_offloaded_to_disk(name: str, tmp_path: Path) -> None:
    """No layer's weights are resident while it does not run."""
    model = disk_offload(tiny_model(name), tmp_path, execution_device=torch.device("cpu"))
    assert all(parameter.device.type == "meta" for parameter in model.parameters())
    assert_same_scores(model, name)
    assert all(parameter.device.type == "meta" for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_offloaded_to_memory(dtype: torch.dtype) -> None:
    model = cpu_offload(tiny_model("qwen3").to(dtype), execution_device=torch.device("cpu"))
    assert_same_scores(model, "qwen3", tiny_model("qwen3").to(dtype))


def test_a_model_with_offloaded_weights_writes_what_it_would() -> None:
    written = list(generate(tiny_model("qwen3"), token_ids(), max_new_tokens=5))
    model = cpu_offload(tiny_model("qwen3"), execution_device=torch.device("cpu"))
    assert list(generate(model, token_ids(), max_new_tokens=5, keep=True)) == written
    assert kept_captures(model).get([*token_ids(), *written]) is not None


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


class Eighths(nn.Module):
    """A projection that keeps eight-bit floats and takes wider ones, as those of FP8 checkpoints do."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.bias = linear.bias
        self.weight = nn.Parameter(linear.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype != self.weight.dtype
        return nn.functional.linear(x, self.weight.to(x.dtype), self.bias)


class Opaque(torch.Tensor):
    """A weight that can be multiplied by and nothing else, as torchao's are inside an `nn.Linear`."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is nn.functional.linear:
            x, weight, bias = args
            return nn.functional.linear(x, weight.as_subclass(torch.Tensor), bias)
        if function in (torch.Tensor.view, torch.Tensor.transpose, torch.Tensor.to):
            raise NotImplementedError(function)
        return super().__torch_function__(function, types, args, kwargs)


def test_weights_in_eight_bit_floats() -> None:
    model, dense = tiny_model("llama"), tiny_model("llama")
    for layer, twin in zip(model.model.layers, dense.model.layers, strict=True):
        layer.self_attn.o_proj = Eighths(layer.self_attn.o_proj)
        twin.self_attn.o_proj.weight.data.copy_(layer.self_attn.o_proj.weight.float())
    assert_same_scores(model, "llama", dense)


def test_weights_that_only_multiply() -> None:
    model = tiny_model("llama")
    for layer in model.model.layers:
        projection = layer.self_attn.o_proj
        projection.weight = nn.Parameter(projection.weight.detach().as_subclass(Opaque), requires_grad=False)
        assert type(projection) is nn.Linear
    assert_same_scores(model, "llama")


@pytest.mark.parametrize("method", ["gradient", "contrast"])
def test_layers_that_round_their_input_are_refused_by_gradients(method: str) -> None:
    model = tiny_model("llama")

    def rounded(_: Any, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.detach()

    model.lm_head.register_forward_hook(rounded)
    with pytest.raises(UnsupportedModelError, match="pass no gradients"):
        Attributor(model, None).attribute(token_ids(), ANSWER, REASONING, method=method)


@pytest.mark.parametrize(("bits", "tolerance"), [(4, 2e-2), (8, 3e-2)])
def test_weights_quantized_by_bitsandbytes(bits: int, tolerance: float, tmp_path: Path) -> None:
    """Close to the weights dequantized, which rounds them once more; 8-bit layers round their inputs too."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    torch.manual_seed(0)
    shape = Qwen3Config(  # matrices of whole quantization blocks
        vocab_size=128, hidden_size=128, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=512, initializer_range=0.1,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(shape).save_pretrained(tmp_path)
    quantized: dict[str, Any] = {f"load_in_{bits}bit": True}
    if bits == 4:
        quantized["bnb_4bit_compute_dtype"] = torch.float32

    def load() -> Any:
        return AutoModelForCausalLM.from_pretrained(
            tmp_path,
            quantization_config=BitsAndBytesConfig(**quantized),
            device_map={"": "cpu"},
            dtype=torch.float32,
        )

    model = load()
    assert type(model.model.layers[0].self_attn.o_proj) is not nn.Linear
    dense = Attributor(load().dequantize().float(), None)
    for method in ("flashtrace", "walk"):
        result = Attributor(model, None).attribute(token_ids(), ANSWER, REASONING, method=method)
        expected = dense.attribute(token_ids(), ANSWER, REASONING, method=method)
        assert np.abs(result.scores - expected.scores).max() <= tolerance * expected.scores.max()


@pytest.mark.model
@pytest.mark.parametrize("method", ["flashtrace", "walk"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_ranks_tokens_as_float32_does(dtype: torch.dtype, method: str) -> None:
    """On the real model: Spearman correlation ≥ 0.99, and 18 of the 20 strongest tokens the same."""
    case = Case(150, 40)
    results = []
    for precision in (torch.float32, dtype):
        attributor = Attributor.from_pretrained("smollm2", dtype=precision)
        ids = sequence(attributor, case)
        results.append(attributor.attribute(ids, case.answer, case.reasoning, method=method))
    full, half = (result.scores[: case.prompt] for result in results)
    ranks = [scores.argsort().argsort() for scores in (full, half)]
    assert np.corrcoef(ranks)[0, 1] >= 0.99
    strongest = [{token.position for token in result.top(20)} for result in results]
    assert len(strongest[0] & strongest[1]) >= 18


def test_without_a_tokenizer_tokens_are_shown_by_number() -> None:
    result = Attributor(tiny_model("llama"), None).attribute([5, 6, 7, 8], Span(3, 4))
    assert result.tokens == ("⟨5⟩", "⟨6⟩", "⟨7⟩", "⟨8⟩")
