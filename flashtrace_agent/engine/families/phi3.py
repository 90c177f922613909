"""Phi-3: queries, keys and values come from one fused projection."""

from __future__ import annotations

from torch import Tensor, nn

from .base import Family, bias_of, find_module


class Phi3Family(Family):
    """Phi-3, Phi-3.5 mini and Phi-4-mini."""

    model_types = ("phi3",)

    def value_bias(self, layer: nn.Module) -> Tensor | None:
        """Return the value part of the fused projection's bias; released weights have none."""
        attention = self.attention(layer)
        bias = bias_of(find_module(attention, "qkv_proj"))
        if bias is None:
            return None
        output_width = find_module(attention, "o_proj").in_features
        assert isinstance(output_width, int)
        return bias[output_width + (len(bias) - output_width) // 2 :]
