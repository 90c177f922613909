"""Gemma 2/3 and OLMo 2/3: a norm stands between the attention output and the residual sum."""

from __future__ import annotations

from torch import nn

from .base import Family, find_module


class PostNormFamily(Family):
    """Gemma 2 (soft cap, alternating windows), Gemma 3, with or without its vision tower, and OLMo 2/3."""

    model_types = ("gemma2", "gemma3", "gemma3_text", "olmo2", "olmo3")

    def post_attention_norm(self, layer: nn.Module) -> nn.Module | None:
        """Return ``post_attention_layernorm``, which in this family follows attention directly."""
        return find_module(layer, "post_attention_layernorm")
