"""How much attention the weighted rows pay to each token: s_j^h = Σ_i w_i α_ij^h.

A tile of the attention is recomputed and reduced at once (`attention_tiles`). Several weight vectors
(targets) share a tile's softmax, which is where the time goes. On a GPU two kernels do it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .attention_tiles import attention_tiles
from .capture import LayerCapture
from .kernels import kernels_serve


def weighted_column_sums(layer: LayerCapture, rows: Tensor, used: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted column sums of a layer's attention.

    Args:
        layer: the captured layer with R rows and N tokens.
        rows: int64 (R,) absolute positions of the layer's rows, ascending.
        used: int64 (R',) ascending indices of the rows that count.
        weights: float32 (M, R'), one row per target; all ≥ 0.

    Returns:
        float32 (M, H, N).
    """
    device = layer.key.device
    rows, used = rows.to(device), used.to(device)
    if kernels_serve(device):
        from .kernels.column_sums import column_sums, row_log_sums

        view = (layer.scaling, layer.window, layer.softcap)
        if layer.log_sums is None:
            layer.log_sums = row_log_sums(layer.query, layer.key, rows, *view)
        log_sums = layer.log_sums[:, used]
        return column_sums(layer.query[:, used], layer.key, rows[used], log_sums, weights, *view)
    return _tiled_column_sums(layer, layer.query[:, used], rows[used], weights)


def _tiled_column_sums(layer: LayerCapture, query: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    sums = torch.zeros(query.shape[0], len(weights), layer.key.shape[1], device=layer.key.device)
    for start, stop, low, high, attention in attention_tiles(layer, query, rows):
        sums[:, :, low:high] += torch.matmul(weights[:, start:stop], attention)  # (H, M, keys)
    return sums.transpose(0, 1)
