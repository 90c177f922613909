"""What every kernel over attention shares: a tile of it, recomputed from each row's log-sum-exp.

`KernelRows.of` finds L_i = log Σ_j exp(q_i·k_j · scale) over the keys row i sees, once a capture: all
hops and targets share it. With it, α_ij = exp(q_i·k_j · scale − L_i) can be had tile by tile, in any
order, and no matrix leaves the chip.

Keys are read through their head group (grouped-query attention); sliding windows bound every loop.
Inputs may be bfloat16, float16 or float32; products accumulate in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..layers import LayerCapture
from . import launch, product_needs_float32, tile_of


@triton.jit
def load_rows(source, head, rows, held, n_rows, depth, head_dim):
    """Load vectors (rows, depth) of a head from `source` (heads, n_rows, head_dim)."""
    return tl.load(
        source + (head * n_rows + rows)[:, None].to(tl.int64) * head_dim + depth[None, :],
        mask=held[:, None] & (depth < head_dim)[None, :],
        other=0.0,
    )


@triton.jit
def dot_columns(vectors, source, kv_head, columns, n_tokens, depth, head_dim, WIDEN: tl.constexpr):
    """Return products (rows, keys) of `vectors` (rows, depth) with tokens of `source` (H_kv, N, head_dim)."""
    tokens = tl.load(
        source + (kv_head * n_tokens + columns)[None, :].to(tl.int64) * head_dim + depth[:, None],
        mask=(columns < n_tokens)[None, :] & (depth < head_dim)[:, None],
        other=0.0,
    )  # (depth, keys)
    if WIDEN:
        vectors, tokens = vectors.to(tl.float32), tokens.to(tl.float32)
    return tl.dot(vectors, tokens, input_precision="ieee")


@triton.jit
def logits_of(products, scaling, softcap, HAS_CAP: tl.constexpr):
    """Return the logits of products q·k."""
    logits = products * scaling
    if HAS_CAP:
        # tanh(x) = 1 − 2 / (exp(2x) + 1)
        logits = softcap * (1.0 - 2.0 / (tl.exp(2.0 * logits / softcap) + 1.0))
    return logits


@triton.jit
def is_seen(columns, position, window):
    """Tell which keys (rows, keys) rows at `position` see."""
    return (columns[None, :] <= position[:, None]) & (columns[None, :] > position[:, None] - window)


@triton.jit
def attention_of(
    query, k, log_sum, position, kv_head, columns, n_tokens, depth, head_dim, scaling, window, softcap,
    HAS_CAP: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Return the attention (rows, keys) of a tile of queries (rows, depth) on the keys at `columns`."""
    products = dot_columns(query, k, kv_head, columns, n_tokens, depth, head_dim, WIDEN)
    logits = logits_of(products, scaling, softcap, HAS_CAP)
    return tl.where(is_seen(columns, position, window), tl.exp(logits - log_sum[:, None]), 0.0)


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
    query = load_rows(q, head, rows, held, n_rows, depth, head_dim)  # (rows, depth)
    largest = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    first = tl.min(tl.where(held, position, n_tokens), axis=0)
    begin = tl.maximum(first - window + 1, 0)
    end = tl.max(position, axis=0) + 1
    for start in range(begin, end, KEYS):
        columns = start + tl.arange(0, KEYS)
        products = dot_columns(query, k, head // GROUPS, columns, n_tokens, depth, head_dim, WIDEN)
        logits = logits_of(products, scaling, softcap, HAS_CAP)
        logits = tl.where(is_seen(columns, position, window), logits, -float("inf"))
        new = tl.maximum(largest, tl.max(logits, axis=1))
        base = tl.where(new == -float("inf"), 0.0, new)
        total = total * tl.exp(largest - base) + tl.sum(tl.exp(logits - base[:, None]), axis=1)
        largest = new
    total = tl.where(held, total, 1.0)  # past the last row nothing was summed
    tl.store(out + head * n_rows + rows, largest + tl.log(total), mask=held)


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Captured rows as kernels read them.

    Attributes:
        query: (H, R', d_h), contiguous.
        key: (H_kv, N, d_h), of the query's dtype, contiguous.
        positions: int32 (R',) ascending absolute positions.
        log_sums: float32 (H, R'), L.
        scaling, window, softcap: as in `layers.LayerCapture`.
    """

    query: Tensor
    key: Tensor
    positions: Tensor
    log_sums: Tensor
    scaling: float
    window: int | None
    softcap: float | None

    @classmethod
    def of(cls, layer: LayerCapture, rows: Tensor, used: Tensor) -> KernelRows:
        """Return the rows `used`, int64 (R',), of a layer's captured `rows`, int64 (R,)."""
        key, positions = layer.key.contiguous(), rows.to(layer.key.device, torch.int32)
        view = (layer.scaling, layer.window, layer.softcap)
        if layer.log_sums is None:
            layer.log_sums = _row_log_sums(layer.query.contiguous(), key, positions, *view)
        used = used.to(key.device)
        query, log_sums = layer.query[:, used].contiguous(), layer.log_sums[:, used].contiguous()
        return cls(query, key, positions[used], log_sums, *view)


def _row_log_sums(
    query: Tensor, key: Tensor, positions: Tensor, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    """Return log Σ exp of each row's logits over the keys it sees, float32 (H, R)."""
    heads, n_rows, head_dim = query.shape
    kv_heads, n_tokens, _ = key.shape
    tile, depth = tile_of(head_dim, key.dtype)
    out = torch.empty(heads, n_rows, dtype=torch.float32, device=key.device)
    launch(
        _log_sums_kernel, (triton.cdiv(n_rows, tile), heads),
        query, key, positions, out, n_rows, n_tokens, head_dim, scaling, window or n_tokens, softcap or 1.0,
        GROUPS=heads // kv_heads, HAS_CAP=softcap is not None, WIDEN=product_needs_float32(key.dtype),
        ROWS=tile, KEYS=tile, DEPTH=depth,
    )  # fmt: skip
    return out
