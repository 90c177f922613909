"""One backward pass of the recursion: from weighted rows to a score for every token.

Per layer (FlashTrace, arXiv 2602.01914; names as in docs/method.md):

1. s = weighted column sums of the attention (`column_sums`).
2. y = Σ_i w_i m_i, the weighted residual after attention, and r = y − W_O Σ_j s_j v_j − bias, the one
   before attention: each row of attention sums to 1.
3. e_j = Σ_h prox(z_j^h, y) / (Σ_j,h prox(z_j^h, y) + prox(r, y)) (`proximity`).

Token totals are the sum of e over layers. A norm after attention (Gemma) is linear once its
row-wise factor is fixed, so it scales the row weights and the rows of W_O.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import SequenceError
from .capture import Capture
from .column_sums import weighted_column_sums
from .families import Family
from .layers import LayerCapture
from .memory import is_out_of_memory, release_memory
from .projection import dense_projection, unbiased_value
from .proximity import residual_proximity, token_proximity


def hop_totals(model: nn.Module, family: Family, capture: Capture, weights: Tensor) -> Tensor:
    """Return each token's total over layers for each target.

    Args:
        capture: what a forward left behind, with R rows.
        weights: float (M, R), one row per target, ≥ 0. Only their ratios matter.

    Returns:
        float64 (M, N) on the CPU. A target whose weights are all zero gets zeros.
    """
    device = capture.layers[0].key.device
    totals = torch.zeros(weights.shape[0], capture.n_tokens, dtype=torch.float64, device=device)
    # Rows nobody weights cost nothing; weights are scaled so that float32 sums stay well inside range.
    used = torch.nonzero(weights.sum(dim=0) > 0).flatten()
    sums = weights.sum(dim=1, keepdim=True).double()
    scaled = torch.where(sums > 0, weights.double() / sums.clamp_min(1e-300), 0.0).float()[:, used]  # (M, R')
    if not len(used):
        return totals.cpu()
    for layer, module in zip(capture.layers, family.layers(model), strict=True):
        # Nothing is read back before the last layer, so that a GPU never waits for Python.
        totals += _affordable_scores(layer, capture.rows, used, scaled, family, module).to(device)
    return totals.cpu()


def _affordable_scores(
    layer: LayerCapture,
    rows: Tensor,
    used: Tensor,
    weights: Tensor,
    family: Family,
    module: nn.Module,
) -> Tensor:
    """Return `_layer_scores`, of half the targets at a time where memory is short.

    Raises:
        SequenceError: if the memory does not hold one target's.
    """
    try:
        return _layer_scores(layer, rows, used, weights, family, module)
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
    return torch.cat([_affordable_scores(layer, rows, used, part, family, module) for part in parts])


def _layer_scores(
    layer: LayerCapture,
    rows: Tensor,
    used: Tensor,
    weights: Tensor,
    family: Family,
    module: nn.Module,
) -> Tensor:
    """Return e of one layer, float64 (M, N)."""
    device = layer.key.device
    used, weights = used.to(device), weights.to(device)
    projection = dense_projection(layer, family, module)
    target = torch.matmul(weights, layer.state[used].float())  # (M, d), y
    if layer.row_scale is not None:
        weights = weights * layer.row_scale[used]  # w_i / rms_i
    sums = weighted_column_sums(layer, rows, used, weights)  # (M, H, N)
    value = unbiased_value(layer, projection)  # (H_kv, N, d_h)
    scores = torch.zeros(len(weights), value.shape[1], dtype=torch.float64, device=device)
    for index in range(len(weights)):
        mixed = _mix(sums[index], value)  # (H, d_h)
        attended = torch.einsum("hde,he->d", projection.weight, mixed)
        residual = target[index] - attended - weights[index].sum() * projection.offset  # (d,), r
        near = token_proximity(sums[index], value, projection, target[index])  # (N,)
        kept = residual_proximity(residual, target[index])  # scalar
        total = near.sum() + kept
        scores[index] = torch.where(total > 0, near / total.clamp_min(1e-300), 0.0)
    return scores


def _mix(sums: Tensor, value: Tensor) -> Tensor:
    """Return Σ_j s_j v_j by head, float32 (H, d_h), from sums (H, N) and value (H_kv, N, d_h)."""
    grouped = sums.reshape(value.shape[0], -1, value.shape[1])  # (H_kv, groups, N)
    return torch.matmul(grouped, value).reshape(len(sums), -1)
