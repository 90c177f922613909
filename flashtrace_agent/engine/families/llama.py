"""Pre-norm decoders with separate projections, laid out like Llama's."""

from __future__ import annotations

from .base import Family


class LlamaFamily(Family):
    """Llama 2/3, Mistral, Ministral, Qwen2/2.5 (QKV bias), Qwen3 (QK-norm), SmolLM3, Seed-OSS, GLM-4.5, and
    mixture-of-experts kin.

    Queries, keys and values are captured where the attention function receives them, so QK-norm,
    rotary scaling and sliding windows need nothing here; experts replace only the MLP, which
    attribution does not read.
    """

    model_types = (
        *("llama", "mistral", "ministral", "qwen2", "qwen3", "smollm3", "seed_oss"),
        *("mixtral", "qwen2_moe", "qwen3_moe", "glm4_moe"),
    )
