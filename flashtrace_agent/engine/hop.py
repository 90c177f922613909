"""One backward pass of the recursion: from weighted rows to a score for every token.

Per layer (FlashTrace, arXiv 2602.01914; names as in docs/method.md):

1. s = weighted column sums of the attention (`column_sums`).
2. y = r + W_O Σ_j s_j v_j + bias: the weighted residual after attention. It equals Σ_i w_i m_i
   because each row of attention sums to 1, so m itself need not be captured.
3. e_j = Σ_h prox(z_j^h, y) / (Σ_j,h prox(z_j^h, y) + prox(r, y)) (`proximity`).

Token totals are the sum of e over layers. A norm after attention (Gemma) is linear once its
row-wise factor is fixed, so it scales the row weights and the rows of W_O.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import SequenceError
from .capture import Capture, LayerCapture, norm_epsilon
from .column_sums import weighted_column_sums
from .families import Family
from .families.base import bias_of, dense_weight
from .memory import is_out_of_memory, release_memory
from .proximity import residual_proximity, token_proximity


@dataclass(slots=True)
class Projection:
    """A layer's output projection, made dense for the time of one layer.

    weight: float32 (H, d, d_h); norms: float32 (H, d); offset: float32 (d,), what a row's
    attention output holds whatever it attends to (value bias through W_O, output bias).
    value_bias: float32 (H_kv, 1, d_h) or None.
    """

    weight: Tensor
    norms: Tensor
    offset: Tensor
    value_bias: Tensor | None


def l1_proximity(
    sums: Tensor, value: Tensor, projection: Projection, residual: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Return Σ_h prox(z_j^h, y), float64 (N,), and prox(r, y): the paper's measure."""
    near = token_proximity(sums, value, projection.weight, projection.norms, target)
    return near, residual_proximity(residual, target)


Measure = Callable[[Tensor, Tensor, Projection, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From column sums (H, N), values (H_kv, N, d_h), a layer's projection, r (d,) and y (d,) to the nearness
of each token, float64 (N,), and of the residual stream, a scalar."""


def hop_totals(
    model: nn.Module,
    family: Family,
    capture: Capture,
    weights: Tensor,
    *,
    layer_weights: Sequence[float] | None = None,
    measure: Measure = l1_proximity,
) -> Tensor:
    """Return each token's total over layers for each target.

    Args:
        capture: what a forward left behind, with R rows.
        weights: float (M, R), one row per target, ≥ 0. Only their ratios matter.
        layer_weights: how much each layer counts, ≥ 0; None for all alike.
        measure: how near a token's contribution is to the target.

    Returns:
        float64 (M, N) on the CPU. A target whose weights are all zero gets zeros.
    """
    totals = torch.zeros(weights.shape[0], capture.n_tokens, dtype=torch.float64)
    # Rows nobody weights cost nothing; weights are scaled so that float32 sums stay well inside range.
    used = torch.nonzero(weights.sum(dim=0) > 0).flatten()
    sums = weights.sum(dim=1, keepdim=True).double()
    scaled = torch.where(sums > 0, weights.double() / sums.clamp_min(1e-300), 0.0).float()[:, used]  # (M, R')
    if not len(used):
        return totals
    factors = [1.0] * len(capture.layers) if layer_weights is None else layer_weights
    for layer, module, factor in zip(capture.layers, family.layers(model), factors, strict=True):
        if factor:
            totals += factor * _affordable_scores(layer, capture.rows, used, scaled, family, module, measure)
    return totals


def _affordable_scores(
    layer: LayerCapture,
    rows: Tensor,
    used: Tensor,
    weights: Tensor,
    family: Family,
    module: nn.Module,
    measure: Measure,
) -> Tensor:
    """Return `_layer_scores` on the CPU, of half the targets at a time where memory is short.

    Raises:
        SequenceError: if the memory does not hold one target's.
    """
    try:
        return _layer_scores(layer, rows, used, weights, family, module, measure).cpu()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(weights) == 1:
            raise SequenceError(
                f"The device's memory does not hold the attention sums of {layer.key.shape[1]:,} tokens; "
                "shorten the sequence, or free memory on the device."
            ) from error
    release_memory()
    half = len(weights) // 2
    parts = (weights[:half], weights[half:])
    return torch.cat([_affordable_scores(layer, rows, used, part, family, module, measure) for part in parts])


def _layer_scores(
    layer: LayerCapture,
    rows: Tensor,
    used: Tensor,
    weights: Tensor,
    family: Family,
    module: nn.Module,
    measure: Measure,
) -> Tensor:
    """Return e of one layer, float64 (M, N)."""
    device = layer.key.device
    used, weights = used.to(device), weights.to(device)
    projection = _projection(layer, family, module)
    residual = torch.matmul(weights, layer.residual[used].float())  # (M, d), r
    if layer.row_scale is not None:
        weights = weights * layer.row_scale[used]  # w_i / rms_i
    sums = weighted_column_sums(layer, rows, used, weights)  # (M, H, N)
    value = layer.value.float()
    if projection.value_bias is not None:
        value = value - projection.value_bias  # (H_kv, N, d_h)
    scores = torch.zeros(len(weights), value.shape[1], dtype=torch.float64, device=device)
    for index in range(len(weights)):
        mixed = _mix(sums[index], value)  # (H, d_h)
        attended = torch.einsum("hde,he->d", projection.weight, mixed)
        target = residual[index] + attended + weights[index].sum() * projection.offset  # (d,), y
        near, kept = measure(sums[index], value, projection, residual[index], target)  # (N,), scalar
        total = near.sum() + kept
        scores[index] = torch.where(total > 0, near / total.clamp_min(1e-300), 0.0)
    return scores


def _mix(sums: Tensor, value: Tensor) -> Tensor:
    """Return Σ_j s_j v_j by head, float32 (H, d_h), from sums (H, N) and value (H_kv, N, d_h)."""
    grouped = sums.reshape(value.shape[0], -1, value.shape[1])  # (H_kv, groups, N)
    return torch.matmul(grouped, value).reshape(len(sums), -1)


def _projection(layer: LayerCapture, family: Family, module: nn.Module) -> Projection:
    heads = layer.query.shape[0]
    kv_heads = layer.key.shape[0]
    value_width = layer.value.shape[2]
    device = layer.key.device
    out = family.output_projection(module)
    flat = dense_weight(out, heads * value_width, device)  # (d, H·d_h)
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
        flat, offset = gain[:, None] * flat, gain * offset
    weight = flat.view(flat.shape[0], heads, value_width).transpose(0, 1).contiguous()  # (H, d, d_h)
    return Projection(weight, weight.norm(dim=-1), offset, shaped_bias)


def _norm_gain(norm: nn.Module, width: int, device: torch.device) -> Tensor:
    """Return an RMS norm's gain by dimension, float32 (d,), found by asking the module itself."""
    with torch.no_grad():
        ones = torch.ones(1, width, device=device)
        gain: Tensor = norm(ones)[0].float() * math.sqrt(1.0 + norm_epsilon(norm))
    return gain
