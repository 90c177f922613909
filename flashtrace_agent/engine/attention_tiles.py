"""The attention of captured rows, recomputed a few rows at a time.

A tile is small enough to stay in cache, so no N×N matrix ever exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .layers import LayerCapture

_TILE_BYTES = {"cpu": 4 << 20, "cuda": 512 << 20}
"""Bytes of one float32 logits tile. CPU: about the second-level caches of two cores."""


class AttentionTile(NamedTuple):
    """Attention of the rows [start, stop) on the keys [low, high), all others being zero.

    attention: float32 (H, stop − start, high − low); each row sums to 1.
    """

    start: int
    stop: int
    low: int
    high: int
    attention: Tensor

    def along(self, directions: Tensor, value: Tensor) -> Tensor:
        """Return Σ_h α_ij^h (u_i^h · v_j^h), float32 (rows, keys), of directions u (rows, H, d_h).

        The attention is used up.
        """
        seen = value[:, self.low : self.high]  # (H_kv, keys, d_h)
        grouped = directions.transpose(0, 1).reshape(len(value), -1, value.shape[2])
        along = torch.matmul(grouped, seen.transpose(1, 2)).view_as(self.attention)  # (H, rows, keys)
        return self.attention.mul_(along).sum(dim=0)


def attention_tiles(layer: LayerCapture, query: Tensor, rows: Tensor) -> Iterator[AttentionTile]:
    """Yield the attention of rows, tile by tile.

    Args:
        layer: the captured layer with N tokens.
        query: (H, R, d_h) queries of the rows.
        rows: int64 (R,) their absolute positions, ascending.
    """
    heads, n_rows, width = query.shape
    kv_heads, n_tokens, _ = layer.key.shape
    groups = heads // kv_heads
    positions: list[int] = rows.tolist()
    keys = layer.key.float()  # (H_kv, N, d_h)
    size = max(1, _TILE_BYTES.get(layer.key.device.type, 64 << 20) // (4 * heads * n_tokens))
    for start in range(0, n_rows, size):
        stop = min(start + size, n_rows)
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
        yield AttentionTile(start, stop, low, high, torch.softmax(logits, dim=-1))


def _hide_unseen(logits: Tensor, rows: Tensor, low: int, first: int, last: int, window: int | None) -> None:
    """Set logits of keys a row cannot see to −∞, in place; only the ragged edges are touched."""
    if last > first:
        later = torch.arange(first + 1, last + 1, device=rows.device)  # keys some row comes before
        logits[..., first + 1 - low :].masked_fill_(later[None] > rows[:, None], -torch.inf)
        if window is not None and last - window + 1 > low:
            early = torch.arange(low, last - window + 1, device=rows.device)
            edge = logits[..., : len(early)]
            edge.masked_fill_(early[None] <= rows[:, None] - window, -torch.inf)
