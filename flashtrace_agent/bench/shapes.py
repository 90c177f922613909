"""Models of a named shape with random weights, for machines where no weights are at hand."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen3Config

from ..engine.attributor import Attributor
from ..errors import FlashTraceError
from ..models import DEFAULT_MODEL, ensure_model

SHAPES: dict[str, Any] = {
    "qwen3-8b": lambda: Qwen3Config(
        hidden_size=4096, intermediate_size=12288, num_hidden_layers=36, num_attention_heads=32,
        num_key_value_heads=8, head_dim=128, vocab_size=151936, max_position_embeddings=131072,
    ),
    "qwen3-0.6b": lambda: Qwen3Config(
        hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, vocab_size=151936, max_position_embeddings=131072,
        tie_word_embeddings=True,
    ),
    "llama3-8b": lambda: LlamaConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, head_dim=128, vocab_size=128256, max_position_embeddings=131072,
    ),
}  # fmt: skip


def random_model(shape: str) -> Attributor:
    """Return an attributor over a model of a named shape with random bfloat16 weights.

    The tokenizer is the default model's, whose ids all lie inside these vocabularies.

    Raises:
        FlashTraceError: if there is no such shape.
    """
    if shape not in SHAPES:
        raise FlashTraceError(f"There is no shape {shape!r}; choose one of {', '.join(SHAPES)}.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(SHAPES[shape](), dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(ensure_model(DEFAULT_MODEL))
    return Attributor(model.eval(), tokenizer, model_name=f"{shape} (random weights)")
