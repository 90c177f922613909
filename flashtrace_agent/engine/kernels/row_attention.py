"""How far each token pulls each captured row along a direction: Σ_h α_ij^h (u_i^h · v_j^h).

A program owns a block of rows and a block of keys, recomputes their attention head by head, and adds
the heads up, so that nothing of size H×N×N exists.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import launch, product_needs_float32, tile_of
from .attention import KernelRows, attention_of, dot_columns, load_rows

STAGES = 2
"""Heads loaded at once: a third would not fit the shared memory of smaller GPUs."""


@triton.jit
def _along_kernel(
    q, k, value, directions, positions, log_sums, out,
    n_rows, n_tokens, n_heads, head_dim, scaling, window, softcap,
    GROUPS: tl.constexpr, HAS_CAP: tl.constexpr, WIDEN: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * KEYS + tl.arange(0, KEYS)
    held = rows < n_rows
    depth = tl.arange(0, DEPTH)
    position = tl.load(positions + rows, mask=held, other=-1)
    first = tl.min(tl.where(held, position, n_tokens), axis=0)
    # Where no row of the block sees any of the keys, there is nothing to add up.
    reaches = (tl.min(columns, axis=0) <= tl.max(position, axis=0)) & (
        tl.max(columns, axis=0) > first - window
    )
    along = tl.zeros((ROWS, KEYS), tl.float32)
    for head in range(0, tl.where(reaches, n_heads, 0)):
        log_sum = tl.load(log_sums + head * n_rows + rows, mask=held, other=0.0)
        query = load_rows(q, head, rows, held, n_rows, depth, head_dim)  # (rows, depth)
        attention = attention_of(
            query, k, log_sum, position, head // GROUPS, columns, n_tokens, depth, head_dim,
            scaling, window, softcap, HAS_CAP, WIDEN,
        )  # (rows, keys)  # fmt: skip
        direction = load_rows(directions, head, rows, held, n_rows, depth, head_dim)  # (rows, depth)
        along += attention * dot_columns(
            direction, value, head // GROUPS, columns, n_tokens, depth, head_dim, WIDEN
        )
    place = rows[:, None].to(tl.int64) * n_tokens + columns[None, :]
    tl.store(out + place, along, mask=held[:, None] & (columns < n_tokens)[None, :])


class KernelTile:
    """All rows' attention on all tokens, recomputed where it is used; otherwise as `AttentionTile`."""

    def __init__(self, rows: KernelRows) -> None:
        self._rows = rows
        self.start, self.stop = 0, rows.query.shape[1]
        self.low, self.high = 0, rows.key.shape[1]

    def along(self, directions: Tensor, value: Tensor) -> Tensor:
        """Return Σ_h α_ij^h (u_i^h · v_j^h), float32 (R', N).

        Args:
            directions: (R', H, d_h), u.
            value: (H_kv, N, d_h).
        """
        rows = self._rows
        heads, n_rows, head_dim = rows.query.shape
        kv_heads, n_tokens, _ = rows.key.shape
        tile, depth = tile_of(head_dim, value.dtype)
        by_head = directions.to(value.dtype).transpose(0, 1).contiguous()  # (H, R', d_h)
        out = torch.empty(n_rows, n_tokens, dtype=torch.float32, device=value.device)
        launch(
            _along_kernel, (triton.cdiv(n_rows, tile), triton.cdiv(n_tokens, tile)),
            rows.query, rows.key, value.contiguous(), by_head, rows.positions, rows.log_sums, out,
            n_rows, n_tokens, heads, head_dim, rows.scaling, rows.window or n_tokens, rows.softcap or 1.0,
            GROUPS=heads // kv_heads, HAS_CAP=rows.softcap is not None,
            WIDEN=product_needs_float32(rows.key.dtype) or product_needs_float32(value.dtype),
            ROWS=tile, KEYS=tile, DEPTH=depth, num_stages=STAGES,
        )  # fmt: skip
        return out
