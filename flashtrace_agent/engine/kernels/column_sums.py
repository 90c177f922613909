"""Weighted column sums of attention: s_j^h = Σ_i w_i α_ij^h for every target's weights.

A program owns a block of keys of one head, recomputes the attention of the rows that see them, and
adds it up with every target's weights. No two programs write to the same place, so the sums do not
depend on scheduling.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import launch, product_needs_float32, tile_of
from .attention import KernelRows, attention_of, load_rows

_TARGETS = 16
"""Targets a program sums at once where there are several: the least side of a matrix product."""


@triton.jit
def _column_sums_kernel(
    q, k, positions, log_sums, weights, begins, ends, out,
    n_rows, n_tokens, n_targets, n_heads, head_dim, scaling, window, softcap,
    GROUPS: tl.constexpr, HAS_CAP: tl.constexpr, WIDEN: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, DEPTH: tl.constexpr, TARGETS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    columns = tl.program_id(0) * KEYS + tl.arange(0, KEYS)
    targets = tl.program_id(2) * TARGETS + tl.arange(0, TARGETS)
    depth = tl.arange(0, DEPTH)
    sums = tl.zeros((ROWS if TARGETS == 1 else TARGETS, KEYS), tl.float32)
    begin = tl.load(begins + tl.program_id(0))
    end = tl.load(ends + tl.program_id(0))
    for start in range(begin, end, ROWS):
        rows = start + tl.arange(0, ROWS)
        held = rows < end
        position = tl.load(positions + rows, mask=held, other=-1)
        log_sum = tl.load(log_sums + head * n_rows + rows, mask=held, other=0.0)
        query = load_rows(q, head, rows, held, n_rows, depth, head_dim)  # (rows, depth)
        attention = attention_of(
            query, k, log_sum, position, head // GROUPS, columns, n_tokens, depth, head_dim,
            scaling, window, softcap, HAS_CAP, WIDEN,
        )  # (rows, keys)  # fmt: skip
        if TARGETS == 1:  # a product would compute a whole tile of targets
            weight = tl.load(weights + tl.program_id(2) * n_rows + rows, mask=held, other=0.0)  # (rows,)
            sums += weight[:, None] * attention
        else:
            weight = tl.load(
                weights + targets[:, None] * n_rows + rows[None, :],
                mask=(targets < n_targets)[:, None] & held[None, :],
                other=0.0,
            )  # (targets, rows)
            sums += tl.dot(weight, attention, input_precision="ieee")
    if TARGETS == 1:
        sums = tl.sum(sums, axis=0)[None, :]
    place = (targets[:, None] * n_heads + head).to(tl.int64) * n_tokens + columns[None, :]
    tl.store(out + place, sums, mask=(targets < n_targets)[:, None] & (columns < n_tokens)[None, :])


def column_sums(rows: KernelRows, weights: Tensor) -> Tensor:
    """Return Σ_i w_i α_ij by target and head, float32 (M, H, N).

    Args:
        weights: float32 (M, R'), ≥ 0.
    """
    heads, n_rows, head_dim = rows.query.shape
    kv_heads, n_tokens, _ = rows.key.shape
    targets = weights.shape[0]
    at_once = 1 if targets == 1 else _TARGETS
    device = rows.key.device
    tile, depth = tile_of(head_dim, rows.key.dtype)
    window = rows.window or n_tokens
    first_key = torch.arange(0, n_tokens, tile, device=device, dtype=torch.int32)  # (blocks,)
    last_key = (first_key + tile - 1).clamp_max(n_tokens - 1)
    begins = torch.searchsorted(rows.positions, first_key).int()  # rows before a key do not see it
    ends = torch.searchsorted(rows.positions, last_key + window).int()  # nor do those past its window
    out = torch.empty(targets, heads, n_tokens, dtype=torch.float32, device=device)
    launch(
        _column_sums_kernel, (len(first_key), heads, triton.cdiv(targets, at_once)),
        rows.query, rows.key, rows.positions, rows.log_sums, weights.float().contiguous(), begins, ends, out,
        n_rows, n_tokens, targets, heads, head_dim, rows.scaling, window, rows.softcap or 1.0,
        GROUPS=heads // kv_heads, HAS_CAP=rows.softcap is not None,
        WIDEN=product_needs_float32(rows.key.dtype), ROWS=tile, KEYS=tile, DEPTH=depth, TARGETS=at_once,
    )  # fmt: skip
    return out
