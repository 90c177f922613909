"""How much attention the weighted rows pay to each token: s_j^h = Σ_i w_i α_ij^h.

A tile of the attention is recomputed and reduced at once (`attention_tiles`). Several weight vectors
(targets) share a tile's softmax, which is where the time goes. On a GPU a kernel does it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .attention_tiles import attention_tiles
from .kernels import kernels_serve
from .layers import LayerCapture


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
        from .kernels.attention import KernelRows
        from .kernels.column_sums import column_sums

        return column_sums(KernelRows.of(layer, rows, used), weights)
    return _tiled_column_sums(layer, layer.query[:, used], rows[used], weights)


def _tiled_column_sums(layer: LayerCapture, query: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    sums = torch.zeros(query.shape[0], len(weights), layer.key.shape[1], device=layer.key.device)
    for tile in attention_tiles(layer, query, rows):
        added = torch.matmul(weights[:, tile.start : tile.stop], tile.attention)  # (H, M, keys)
        sums[:, :, tile.low : tile.high] += added
    return sums.transpose(0, 1)
