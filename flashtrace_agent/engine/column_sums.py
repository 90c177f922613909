"""How much attention the weighted rows pay to each token: s_j^h = Σ_i w_i α_ij^h.

Rows are taken in tiles small enough to stay in cache; a tile's attention is recomputed from the
captured queries and keys, softmaxed and reduced at once, so no N×N matrix exists. Several weight
vectors (targets) share a tile's softmax, which is where the time goes. On a GPU two kernels do it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .capture import LayerCapture
from .kernels import kernels_serve

_TILE_BYTES = {"cpu": 8 << 20, "cuda": 512 << 20}
"""Bytes of one float32 logits tile. CPU: about the last-level cache share of a core pair."""


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
    heads, n_rows, width = query.shape
    kv_heads, n_tokens, _ = layer.key.shape
    groups = heads // kv_heads
    device = layer.key.device
    positions: list[int] = rows.tolist()
    keys = layer.key.float()  # (H_kv, N, d_h)
    sums = torch.zeros(heads, weights.shape[0], n_tokens, device=device)
    tile = max(1, _TILE_BYTES.get(device.type, 64 << 20) // (4 * heads * n_tokens))
    for start in range(0, n_rows, tile):
        stop = min(start + tile, n_rows)
        first, last = positions[start], positions[stop - 1]
        low = 0 if layer.window is None else max(0, first - layer.window + 1)
        high = last + 1
        scaled = query[:, start:stop].float() * layer.scaling  # (H, tile, d_h)
        stacked = scaled.reshape(kv_heads, groups * (stop - start), width)
        logits = torch.matmul(stacked, keys[:, low:high].transpose(1, 2))  # (H_kv, groups·tile, keys)
        logits = logits.view(heads, stop - start, high - low)
        if layer.softcap is not None:
            logits = layer.softcap * torch.tanh(logits / layer.softcap)
        _hide_unseen(logits, rows[start:stop], low, first, last, layer.window)
        attention = torch.softmax(logits, dim=-1)  # (H, tile, keys)
        sums[:, :, low:high] += torch.matmul(weights[:, start:stop], attention)  # (H, M, keys)
    return sums.transpose(0, 1)


def _hide_unseen(logits: Tensor, rows: Tensor, low: int, first: int, last: int, window: int | None) -> None:
    """Set logits of keys a row cannot see to −∞, in place; only the ragged edges are touched."""
    if last > first:
        later = torch.arange(first + 1, last + 1, device=rows.device)  # keys some row comes before
        logits[..., first + 1 - low :].masked_fill_(later[None] > rows[:, None], -torch.inf)
        if window is not None and last - window + 1 > low:
            early = torch.arange(low, last - window + 1, device=rows.device)
            edge = logits[..., : len(early)]
            edge.masked_fill_(early[None] <= rows[:, None] - window, -torch.inf)
