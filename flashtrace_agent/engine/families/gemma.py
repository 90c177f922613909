"""Gemma 2 and 3: a norm stands between the attention output and the residual sum."""

from __future__ import annotations

from torch import nn

from .base import Family, find_module


class GemmaFamily(Family):
    """Gemma 2 (soft cap, alternating windows) and Gemma 3 text models."""

    model_types = ("gemma2", "gemma3_text")

    def post_attention_norm(self, layer: nn.Module) -> nn.Module | None:
        """Return ``post_attention_layernorm``, which in this family follows attention directly."""
        return find_module(layer, "post_attention_layernorm")
