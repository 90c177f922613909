"""Tiny models for the chat model's tests: random transformers, and one that says a given text."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|python_tag|>", "<|eom_id|>"]
CORPUS = [
    "You are a helpful assistant. What is the weather in Paris today? It is sunny.",
    '<think>\nI should call a tool.\n</think>\n\n<tool_call>\n{"name": "weather", "arguments": '
    '{"city": "Paris"}}\n</tool_call>',
    "# Tools\nYou may call one or more functions to assist with the user query. user assistant system tool",
]


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with ChatML's special tokens and no chat template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=[AddedToken(text, special=True) for text in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")


SIZES: dict[str, Any] = {
    "vocab_size": len(tokenizer()),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


def llama(**changes: Any) -> Any:
    """Return a random Llama in evaluation mode."""
    torch.manual_seed(0)
    config = LlamaConfig(**{**SIZES, **changes})
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    return LlamaForCausalLM(config).eval()


def long_phi3() -> Any:
    """Return a random Phi-3 in evaluation mode that reads texts beyond 32 tokens by other frequencies."""
    torch.manual_seed(0)
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": 32,
        "short_factor": [1.0] * 4,
        "long_factor": [1.5, 3.0, 5.0, 9.0],
    }
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = Phi3Config(
        **SIZES, **ends, rope_parameters=rope, original_max_position_embeddings=32, initializer_range=0.3
    )
    return Phi3ForCausalLM(config).eval()


def qwen3(**changes: Any) -> Any:
    """Return a random Qwen3 in evaluation mode."""
    torch.manual_seed(0)
    config = Qwen3Config(head_dim=8, **{**SIZES, **changes})
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    return Qwen3ForCausalLM(config).eval()


class Parrot(torch.nn.Module):
    """A causal LM that says given texts, one per call of the chat model, whatever it is asked."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.config = LlamaConfig(**SIZES, name_or_path="parrot")
        self.generation_config = SimpleNamespace(eos_token_id=None, repetition_penalty=None)
        self.embedding = torch.nn.Embedding(len(tokenizer()), 1)
        self.seen: list[list[int]] = []
        self.say(*texts)

    def say(self, *texts: str) -> None:
        """Set what is said from now on."""
        self._ids = iter(
            [token for text in texts for token in tokenizer()(text, add_special_tokens=False)["input_ids"]]
        )

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embedding

    def _next(self) -> int:
        return next(self._ids)

    def forward(
        self, input_ids: torch.Tensor, past_key_values: Any, use_cache: bool, logits_to_keep: int
    ) -> SimpleNamespace:
        self.seen.append(input_ids[0].tolist())
        logits = torch.zeros(1, 1, len(tokenizer()))
        logits[0, 0, self._next()] = 1.0
        return SimpleNamespace(logits=logits)


def text_of(ids: Iterable[int]) -> str:
    """Decode ids with their special tokens."""
    return str(tokenizer().decode(list(ids), skip_special_tokens=False))
