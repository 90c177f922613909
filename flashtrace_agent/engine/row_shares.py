"""Where each row's state comes from: for every row on its own, a share for every token it saw.

Per layer and row i, with y_i = x_i + W_O Σ_j α_ij v_j (+ biases), the residual stream after attention,
σ_i = sign(y_i) and z_ij^h = α_ij^h W_O^h v_j^h, what head h brings from token j:

    e_ij = max(0, σ_iᵀ Σ_h z_ij^h) / (Σ_j max(0, σ_iᵀ Σ_h z_ij^h) + max(0, σ_iᵀ x_i))

A token counts for what its heads add to ‖y_i‖₁ together: heads that pull both ways cancel, as they do
in the model (adding heads first: ALTI, Ferrando et al. 2022; the linear term of FlashTrace's proximity:
docs/method.md). Because σ_iᵀ z = α (W_Oᵀ σ_i)ᵀ v, nothing of width d exists by token.

Layers are added up, weighted by depth, and each row is scaled to sum 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import SequenceError
from .attention_tiles import attention_tiles
from .capture import Capture, LayerCapture
from .families import Family
from .memory import is_out_of_memory, release_memory
from .projection import Projection, dense_projection


def row_shares(model: nn.Module, family: Family, capture: Capture, used: Tensor) -> Tensor:
    """Return the shares of rows, float32 (R', N) on the first layer's device; each row sums to 1.

    Layer l of L counts (l / L)²: early layers gather syntax and position and rest on the first token,
    what a model writes next is decided later (benchmarks/FAITHFULNESS.md).

    Args:
        capture: what a forward left behind, with R rows of N tokens.
        used: int64 (R',) ascending indices of the captured rows wanted.

    Raises:
        SequenceError: if the device's memory does not hold a single row.
    """
    depth = len(capture.layers)
    shares = torch.zeros(len(used), capture.n_tokens, device=capture.layers[0].key.device)
    for number, (layer, module) in enumerate(zip(capture.layers, family.layers(model), strict=True), start=1):
        projection = dense_projection(layer, family, module)
        _add_layer(shares, (number / depth) ** 2, layer, projection, capture.rows, used)
    return shares / shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def _add_layer(
    shares: Tensor, factor: float, layer: LayerCapture, projection: Projection, rows: Tensor, used: Tensor
) -> None:
    """Add a layer's shares, of half the rows at a time where memory is short."""
    try:
        # Kept until all rows went well, or those before the failure would be added twice.
        added = _layer_shares(layer, projection, rows, used)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(used) == 1:
            raise SequenceError(
                f"The device's memory does not hold one row's attention on {layer.key.shape[1]:,} tokens; "
                "shorten the sequence, or free memory on the device."
            ) from error
    else:
        shares += factor * added.to(shares.device)
        return
    release_memory()
    half = len(used) // 2
    _add_layer(shares[:half], factor, layer, projection, rows, used[:half])
    _add_layer(shares[half:], factor, layer, projection, rows, used[half:])


def _layer_shares(layer: LayerCapture, projection: Projection, rows: Tensor, used: Tensor) -> Tensor:
    """Return e of one layer, float32 (R', N)."""
    device = layer.key.device
    used = used.to(device)
    heads, width, value_width = projection.weight.shape
    kv_heads, n_tokens, _ = layer.value.shape
    flat = projection.weight.transpose(0, 1).reshape(width, heads * value_width)  # (d, H·d_h)
    value = layer.value.float()  # (H_kv, N, d_h)
    if projection.value_bias is not None:
        value = value - projection.value_bias
    residual = layer.residual[used].float()  # (R', d), x
    scale = None if layer.row_scale is None else layer.row_scale[used][:, None]  # (R', 1), 1/rms
    shares = torch.zeros(len(used), n_tokens, device=device)
    for start, stop, low, high, attention in attention_tiles(
        layer, layer.query[:, used], rows.to(device)[used]
    ):
        size = stop - start
        seen = value[:, low:high]  # (H_kv, keys, d_h)
        mixed = torch.matmul(attention.view(kv_heads, -1, high - low), seen)  # (H_kv, groups·tile, d_h)
        mixed = mixed.view(heads, size, value_width).transpose(0, 1).reshape(size, -1)  # (tile, H·d_h)
        attended = mixed @ flat.T + projection.offset  # (tile, d)
        if scale is not None:
            attended = attended * scale[start:stop]
        state = residual[start:stop]
        sign = torch.sign(state + attended)  # (tile, d), σ
        directions = (sign @ flat).view(size, heads, value_width).transpose(0, 1)  # (H, tile, d_h), W_Oᵀσ
        stacked = directions.reshape(kv_heads, -1, value_width)  # (H_kv, groups·tile, d_h)
        along = torch.matmul(stacked, seen.transpose(1, 2)).view_as(attention)  # (H, tile, keys)
        near = (attention * along).sum(dim=0).clamp_min(0.0)  # (tile, keys)
        if scale is not None:
            near = near * scale[start:stop]
        kept = (sign * state).sum(dim=1, keepdim=True).clamp_min(0.0)  # (tile, 1)
        total = near.sum(dim=1, keepdim=True) + kept
        shares[start:stop, low:high] = torch.where(total > 0, near / total.clamp_min(1e-30), 0.0)
    return shares
