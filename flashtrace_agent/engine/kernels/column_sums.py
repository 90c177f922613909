"""Weighted column sums of attention in two kernels: log-sum-exp by row, then sums by key.

1. `row_log_sums`: L_i = log Σ_j exp(q_i·k_j · scale) over the keys row i sees, once a capture: all
   hops and targets share it.
2. `column_sums`: a program owns a block of keys of one head, recomputes exp(q_i·k_j · scale − L_i) for
   the rows that see them, and adds them up with every target's weights. No matrix leaves the chip, and
   no two programs write to the same place, so the sums do not depend on scheduling.

Keys are read through their head group (grouped-query attention); sliding windows bound both loops.
Inputs may be bfloat16, float16 or float32; products accumulate in float32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import product_needs_float32, tile_of

_TARGETS = 16
"""Targets a program sums at once: the smallest side of a matrix product on tensor cores."""


@triton.jit
def _logits(
    q, k, kv_head, columns, n_tokens, depth, head_dim, scaling, softcap,
    HAS_CAP: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Return logits (rows, keys) of a tile of queries against the keys at `columns`."""
    keys = tl.load(
        k + (kv_head * n_tokens + columns)[None, :].to(tl.int64) * head_dim + depth[:, None],
        mask=(columns < n_tokens)[None, :] & (depth < head_dim)[:, None],
        other=0.0,
    )  # (depth, keys)
    if WIDEN:
        q, keys = q.to(tl.float32), keys.to(tl.float32)
    logits = tl.dot(q, keys, input_precision="ieee") * scaling
    if HAS_CAP:
        # tanh(x) = 1 − 2 / (exp(2x) + 1)
        logits = softcap * (1.0 - 2.0 / (tl.exp(2.0 * logits / softcap) + 1.0))
    return logits


@triton.jit
def _log_sums_kernel(
    q, k, positions, out, n_rows, n_tokens, head_dim, scaling, window, softcap,
    GROUPS: tl.constexpr, HAS_CAP: tl.constexpr, WIDEN: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    held = rows < n_rows
    depth = tl.arange(0, DEPTH)
    position = tl.load(positions + rows, mask=held, other=-1)
    query = tl.load(
        q + (head * n_rows + rows)[:, None].to(tl.int64) * head_dim + depth[None, :],
        mask=held[:, None] & (depth < head_dim)[None, :],
        other=0.0,
    )  # (rows, depth)
    largest = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    first = tl.min(tl.where(held, position, n_tokens), axis=0)
    begin = tl.maximum(first - window + 1, 0)
    end = tl.max(position, axis=0) + 1
    for start in range(begin, end, KEYS):
        columns = start + tl.arange(0, KEYS)
        logits = _logits(
            query, k, head // GROUPS, columns, n_tokens, depth, head_dim, scaling, softcap, HAS_CAP, WIDEN
        )
        seen = (columns[None, :] <= position[:, None]) & (columns[None, :] > position[:, None] - window)
        logits = tl.where(seen, logits, -float("inf"))
        new = tl.maximum(largest, tl.max(logits, axis=1))
        base = tl.where(new == -float("inf"), 0.0, new)
        total = total * tl.exp(largest - base) + tl.sum(tl.exp(logits - base[:, None]), axis=1)
        largest = new
    total = tl.where(held, total, 1.0)  # past the last row nothing was summed
    tl.store(out + head * n_rows + rows, largest + tl.log(total), mask=held)


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
    sums = tl.zeros((TARGETS, KEYS), tl.float32)
    begin = tl.load(begins + tl.program_id(0))
    end = tl.load(ends + tl.program_id(0))
    for start in range(begin, end, ROWS):
        rows = start + tl.arange(0, ROWS)
        held = rows < end
        position = tl.load(positions + rows, mask=held, other=-1)
        query = tl.load(
            q + (head * n_rows + rows)[:, None].to(tl.int64) * head_dim + depth[None, :],
            mask=held[:, None] & (depth < head_dim)[None, :],
            other=0.0,
        )  # (rows, depth)
        logits = _logits(
            query, k, head // GROUPS, columns, n_tokens, depth, head_dim, scaling, softcap, HAS_CAP, WIDEN
        )
        log_sum = tl.load(log_sums + head * n_rows + rows, mask=held, other=0.0)
        seen = (columns[None, :] <= position[:, None]) & (columns[None, :] > position[:, None] - window)
        attention = tl.where(seen, tl.exp(logits - log_sum[:, None]), 0.0)  # (rows, keys)
        weight = tl.load(
            weights + targets[:, None] * n_rows + rows[None, :],
            mask=(targets < n_targets)[:, None] & held[None, :],
            other=0.0,
        )  # (targets, rows)
        sums += tl.dot(weight, attention, input_precision="ieee")
    place = (targets[:, None] * n_heads + head).to(tl.int64) * n_tokens + columns[None, :]
    tl.store(out + place, sums, mask=(targets < n_targets)[:, None] & (columns < n_tokens)[None, :])


def row_log_sums(
    query: Tensor, key: Tensor, rows: Tensor, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    """Return log Σ exp of each row's logits over the keys it sees, float32 (H, R).

    Args:
        query: (H, R, d_h).
        key: (H_kv, N, d_h), of the query's dtype.
        rows: int64 (R,) ascending absolute positions.
        scaling, window, softcap: as in `capture.LayerCapture`.
    """
    heads, n_rows, head_dim = query.shape
    kv_heads, n_tokens, _ = key.shape
    tile, depth = tile_of(head_dim, key.dtype)
    out = torch.empty(heads, n_rows, dtype=torch.float32, device=key.device)
    _log_sums_kernel[(triton.cdiv(n_rows, tile), heads)](
        query.contiguous(), key.contiguous(), rows.to(key.device, torch.int32), out,
        n_rows, n_tokens, head_dim, scaling, window or n_tokens, softcap or 1.0,
        GROUPS=heads // kv_heads, HAS_CAP=softcap is not None, WIDEN=product_needs_float32(key.dtype),
        ROWS=tile, KEYS=tile, DEPTH=depth,
    )  # fmt: skip
    return out


def column_sums(
    query: Tensor,
    key: Tensor,
    rows: Tensor,
    log_sums: Tensor,
    weights: Tensor,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """Return Σ_i w_i α_ij by target and head, float32 (M, H, N).

    Args:
        log_sums: float32 (H, R), what `row_log_sums` gave for these rows.
        weights: float32 (M, R), ≥ 0.

    Other arguments are those of `row_log_sums`.
    """
    heads, n_rows, head_dim = query.shape
    kv_heads, n_tokens, _ = key.shape
    targets = weights.shape[0]
    rows = rows.to(key.device)
    tile, depth = tile_of(head_dim, key.dtype)
    first_key = torch.arange(0, n_tokens, tile, device=key.device)  # (blocks,)
    last_key = (first_key + tile - 1).clamp_max(n_tokens - 1)
    begins = torch.searchsorted(rows, first_key).int()  # rows before a key do not see it
    ends = torch.searchsorted(rows, last_key + (window or n_tokens)).int()  # nor do those past its window
    out = torch.empty(targets, heads, n_tokens, dtype=torch.float32, device=key.device)
    _column_sums_kernel[(len(first_key), heads, triton.cdiv(targets, _TARGETS))](
        query.contiguous(), key.contiguous(), rows.int(), log_sums.contiguous(), weights.float().contiguous(),
        begins, ends, out,
        n_rows, n_tokens, targets, heads, head_dim, scaling, window or n_tokens, softcap or 1.0,
        GROUPS=heads // kv_heads, HAS_CAP=softcap is not None, WIDEN=product_needs_float32(key.dtype),
        ROWS=tile, KEYS=tile, DEPTH=depth,
        TARGETS=_TARGETS,
    )  # fmt: skip
    return out
