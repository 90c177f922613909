"""Tiny random models of every supported class, with weights large enough to make attention uneven."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3Config,
    Gemma3TextConfig,
    Glm4MoeConfig,
    LlamaConfig,
    MinistralConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Olmo3Config,
    Phi3Config,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    SeedOssConfig,
    SmolLM3Config,
)

_COMMON: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}

CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**_COMMON),
    "llama_biased": lambda: LlamaConfig(**_COMMON, attention_bias=True),
    "qwen2": lambda: Qwen2Config(**_COMMON),
    "qwen2_moe": lambda: Qwen2MoeConfig(
        **_COMMON,
        **_EXPERTS,
        shared_expert_intermediate_size=32,
        use_sliding_window=True,
        sliding_window=7,
        max_window_layers=2,
    ),
    "qwen3": lambda: Qwen3Config(**_COMMON, head_dim=16),
    "qwen3_moe": lambda: Qwen3MoeConfig(**_COMMON, head_dim=16, **_EXPERTS),
    "mixtral": lambda: MixtralConfig(**_COMMON, num_local_experts=4),
    "mistral_window": lambda: MistralConfig(**_COMMON, sliding_window=7),
    "gemma2": lambda: Gemma2Config(
        **_COMMON, head_dim=16, sliding_window=7, query_pre_attn_scalar=16, attn_logit_softcapping=2.0
    ),
    "gemma3": lambda: Gemma3TextConfig(
        **_COMMON, head_dim=16, sliding_window=7, query_pre_attn_scalar=16, sliding_window_pattern=2
    ),
    "gemma3_vision": lambda: Gemma3Config(
        text_config=_COMMON | {"head_dim": 16, "sliding_window": 7, "sliding_window_pattern": 2},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
    ),
    "smollm3": lambda: SmolLM3Config(**_COMMON, no_rope_layer_interval=2),
    "phi3": lambda: Phi3Config(**_COMMON, sliding_window=None),
    "phi3_long": lambda: Phi3Config(
        **_COMMON,
        sliding_window=None,
        original_max_position_embeddings=32,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "original_max_position_embeddings": 32,
            "short_factor": [1.0] * 6,
            "long_factor": [1.5, 2.0, 3.0, 5.0, 7.0, 9.0],
        },
    ),
    "ministral": lambda: MinistralConfig(
        **_COMMON,
        head_dim=16,
        sliding_window=7,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "seed_oss": lambda: SeedOssConfig(**_COMMON, head_dim=16, attention_bias=True, attention_out_bias=True),
    "glm4_moe": lambda: Glm4MoeConfig(
        **_COMMON,
        head_dim=16,
        attention_bias=True,
        use_qk_norm=True,
        moe_intermediate_size=32,
        n_routed_experts=4,
        num_experts_per_tok=2,
    ),
    "olmo2": lambda: Olmo2Config(**_COMMON, attention_bias=True),
    "olmo3": lambda: Olmo3Config(**_COMMON, sliding_window=7),
}


def tiny_model(name: str, seed: int = 0) -> Any:
    """Build a float32 model; biases and norm gains are randomised, for they start at 0 and 1."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name](), dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            scale = 0.3 if parameter.ndim == 1 else 0.15
            noise = torch.randn(parameter.shape, generator=generator) * scale
            is_norm = parameter.ndim == 1 and not parameter_name.endswith("bias")
            parameter.copy_(parameter + noise if is_norm else noise)
    return model.eval()
