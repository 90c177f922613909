"""A layer's output projection as attribution needs it: dense, by head, with all that follows linearly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .families import Family
from .families.base import bias_of, dense_weight
from .layers import LayerCapture, norm_epsilon


@dataclass(slots=True)
class Projection:
    """A layer's output projection, made dense for the time of one layer.

    Attributes:
        weight: float32 (H, d, d_h).
        norms: float32 (H, d), of the weight's rows.
        offset: float32 (d,), what a row's attention output holds whatever it attends to (value bias
            through W_O, output bias).
        value_bias: float32 (H_kv, 1, d_h) or None.
        dtype: in which weight and unbiased values lose nothing; half precision where it can be.
    """

    weight: Tensor
    norms: Tensor
    offset: Tensor
    value_bias: Tensor | None
    dtype: torch.dtype


def dense_projection(layer: LayerCapture, family: Family, module: nn.Module) -> Projection:
    """Return a layer's projection; a norm that follows attention is folded into it."""
    heads = layer.query.shape[0]
    kv_heads = layer.key.shape[0]
    value_width = layer.value.shape[2]
    device = layer.key.device
    out = family.output_projection(module)
    stored = dense_weight(out, heads * value_width, device)  # (d, H·d_h)
    flat, dtype = stored.float(), stored.dtype
    offset = torch.zeros(flat.shape[0], device=device)
    bias = bias_of(out)
    if bias is not None:
        offset = offset + bias.to(device).float()
    value_bias = family.value_bias(module)
    shaped_bias = None
    if value_bias is not None:
        shaped_bias = value_bias.to(device).float().view(kv_heads, 1, value_width)
        offset = offset + flat @ shaped_bias.repeat_interleave(heads // kv_heads, dim=0).reshape(-1)
    norm = family.post_attention_norm(module)
    if norm is not None:
        gain = _norm_gain(norm, flat.shape[0], device)  # (d,)
        flat, offset = _as_kept(gain[:, None] * flat, layer), gain * offset
        dtype = layer.value.dtype
    weight = flat.view(flat.shape[0], heads, value_width).transpose(0, 1).contiguous()  # (H, d, d_h)
    narrow = dtype == layer.value.dtype and dtype in (torch.bfloat16, torch.float16)
    return Projection(weight, weight.norm(dim=-1), offset, shaped_bias, dtype if narrow else torch.float32)


def unbiased_value(layer: LayerCapture, projection: Projection) -> Tensor:
    """Return a layer's values without their bias, float32 (H_kv, N, d_h)."""
    value = layer.value.float()
    return value if projection.value_bias is None else _as_kept(value - projection.value_bias, layer)


def _as_kept(tensor: Tensor, layer: LayerCapture) -> Tensor:
    """Return a tensor rounded as the model rounds its own values: tensor cores take it as it is then."""
    return tensor.to(layer.value.dtype).float()


def _norm_gain(norm: nn.Module, width: int, device: torch.device) -> Tensor:
    """Return an RMS norm's gain by dimension, float32 (d,), found by asking the module itself."""
    with torch.no_grad():
        ones = torch.ones(1, width, device=device)
        gain: Tensor = norm(ones)[0].float() * math.sqrt(1.0 + norm_epsilon(norm))
    return gain
