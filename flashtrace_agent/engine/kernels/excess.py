"""What every token's contribution overshoots the target by: Σ_d max(0, σ_d z_d − |y_d|) by head.

One matrix product a head, with the subtraction and the sum over d in registers, so nothing of size
N×H×d exists. Tokens come sorted by reach and dimensions by how easily they are exceeded
(`proximity.py`), so a block of tokens runs over a prefix of the dimensions and most blocks stop early.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import launch, product_needs_float32, tile_of


@triton.jit
def _excess_kernel(
    value, weight, sums, order, dimensions, target, widths, out, n_tokens, width_all, head_dim, n_blocks,
    GROUPS: tl.constexpr, WIDEN: tl.constexpr, TOKENS: tl.constexpr, DIMENSIONS: tl.constexpr,
    DEPTH: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    block = tl.program_id(0)
    place = block * TOKENS + tl.arange(0, TOKENS)
    held = place < n_tokens
    depth = tl.arange(0, DEPTH)
    token = tl.load(order + head.to(tl.int64) * n_tokens + place, mask=held, other=0)
    amount = tl.load(sums + head.to(tl.int64) * n_tokens + place, mask=held, other=0.0)  # s
    values = tl.load(
        value + ((head // GROUPS) * n_tokens + token)[:, None].to(tl.int64) * head_dim + depth[None, :],
        mask=held[:, None] & (depth < head_dim)[None, :],
        other=0.0,
    )  # (tokens, depth)
    excess = tl.zeros((TOKENS,), tl.float32)
    width = tl.load(widths + head * n_blocks + block)
    for start in range(0, width, DIMENSIONS):
        index = start + tl.arange(0, DIMENSIONS)
        wanted = index < width
        dimension = tl.load(dimensions + head * width_all + index, mask=wanted, other=0)
        rows = tl.load(
            weight + (head * width_all + dimension)[None, :].to(tl.int64) * head_dim + depth[:, None],
            mask=wanted[None, :] & (depth < head_dim)[:, None],
            other=0.0,
        )  # (depth, dimensions)
        y = tl.load(target + dimension, mask=wanted, other=0.0)  # (dimensions,)
        if WIDEN:
            values, rows = values.to(tl.float32), rows.to(tl.float32)
        z = amount[:, None] * tl.dot(values, rows, input_precision="ieee")  # (tokens, dimensions)
        over = tl.where(y[None, :] < 0, y[None, :] - z, z - y[None, :])  # σz − |y|
        excess += tl.sum(tl.where(wanted[None, :], tl.maximum(over, 0.0), 0.0), axis=1)
    tl.store(out + head.to(tl.int64) * n_tokens + place, excess, mask=held)


def sorted_excess(
    value: Tensor,
    weight: Tensor,
    sums: Tensor,
    order: Tensor,
    reach: Tensor,
    dimensions: Tensor,
    needed: Tensor,
    target: Tensor,
) -> Tensor:
    """Return Σ_d max(0, σ_d z_d − |y_d|), float32 (H, N) in sorted order.

    Args:
        value: (H_kv, N, d_h).
        weight: (H, d, d_h), of the values' dtype.
        sums: float32 (H, N), s in sorted order.
        order: int64 (H, N), the token at each sorted place.
        reach: float64 (H, N), what bounds a token's |z_d| / ‖W_d‖, descending.
        dimensions: int64 (H, d), the dimension at each sorted place.
        needed: float64 (H, d), the reach from which a dimension can be exceeded, ascending.
        target: float32 (d,), y.
    """
    heads, n_tokens = sums.shape
    width, head_dim = weight.shape[1:]
    tile, depth = tile_of(head_dim, value.dtype)
    bounds = reach[:, ::tile].contiguous()  # (H, blocks), the largest of each block
    widths = torch.searchsorted(needed.contiguous(), bounds).int().contiguous()  # (H, blocks)
    out = torch.empty(heads, n_tokens, dtype=torch.float32, device=value.device)
    launch(
        _excess_kernel, (bounds.shape[1], heads),
        value.contiguous(), weight.contiguous(), sums.contiguous(), order.int().contiguous(),
        dimensions.int().contiguous(), target, widths, out, n_tokens, width, head_dim, bounds.shape[1],
        GROUPS=heads // value.shape[0], WIDEN=product_needs_float32(value.dtype),
        TOKENS=tile, DIMENSIONS=tile, DEPTH=depth,
    )  # fmt: skip
    return out
