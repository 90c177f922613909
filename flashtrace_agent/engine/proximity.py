"""How much each token's value vector moves the residual stream toward its target.

prox(z, y) = max(0, ‖y‖₁ − ‖y − z‖₁) for z_j^h = s_j^h · W_O^h v_j^h, summed over heads.

1. With σ = sign(y), 1 where y = 0, ‖y‖₁ − ‖y − z‖₁ = σᵀz − 2 Σ_d max(0, σ_d z_d − |y_d|) exactly.
   The first term costs one dot product of width d_h a token and head, and pairs where it is not positive
   are exactly zero.
2. A dimension d can only enter the second term if |z_d| > |y_d|, and |z_d| ≤ a_j ‖W_d^h‖ with
   a_j = s_j^h ‖v_j^h‖. So with tokens sorted by a_j and dimensions sorted by |y_d| / ‖W_d^h‖, each
   block of tokens needs a prefix of the dimensions. Most tokens are small beside y and need
   almost none, and the (tokens × d) product shrinks to a few percent of itself. Nothing is
   approximated: what is skipped is zero.

This form also avoids the cancellation of two large norms in float32. On a GPU a kernel takes the
blocks; in torch they are taken one after the other, growing as less is needed of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .kernels import kernels_serve
from .projection import Projection

_SLACK = 1.0 + 1e-4
"""Widens the bound, so that its own rounding cannot drop a dimension that counts."""
_MAX_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 27}
"""float32 elements of one block's product over all heads; on the CPU it should stay in cache."""


def token_proximity(column_sums: Tensor, value: Tensor, projection: Projection, target: Tensor) -> Tensor:
    """Return Σ_h prox(z_j^h, y) for every token j.

    Args:
        column_sums: float32 (H, N), s ≥ 0.
        value: float32 (H_kv, N, d_h), without bias.
        projection: W_O by head.
        target: float32 (d,), y.

    Returns:
        float64 (N,).
    """
    heads, n_tokens = column_sums.shape
    weight = projection.weight  # (H, d, d_h)
    groups = heads // value.shape[0]
    sign = _sign(target)  # (d,)
    size = target.abs()  # (d,)
    direction = torch.einsum("hde,d->he", weight, sign)  # (H, d_h), W_Oᵀσ
    projected = torch.matmul(
        value, direction.view(value.shape[0], groups, -1).transpose(1, 2)
    )  # (H_kv, N, groups): v·W_Oᵀσ, each value read once for its whole group
    linear = column_sums * projected.transpose(1, 2).reshape(heads, n_tokens)  # (H, N), σᵀz
    lengths = value.norm(dim=-1).repeat_interleave(groups, dim=0)  # (H, N)
    reach = torch.where(linear > 0, column_sums * lengths, 0.0)  # (H, N), a_j of the pairs that can count

    # Largest reach first; dimensions that are easiest to exceed first.
    reach, order = reach.sort(dim=1, descending=True)  # (H, N)
    needed = (size / projection.norms.clamp_min(torch.finfo(torch.float32).tiny)).double()
    needed, dimension = needed.sort(dim=1)  # (H, d)
    reach = reach.double() * _SLACK
    sums = column_sums.gather(1, order)  # (H, N)
    ranked = (sums, order, reach, dimension, needed, target)
    if kernels_serve(target.device):
        from .kernels.excess import sorted_excess

        excess = sorted_excess(value.to(projection.dtype), weight.to(projection.dtype), *ranked)
    else:
        excess = _sorted_excess(value, weight, *ranked)
    prox = linear.gather(1, order) - 2.0 * excess  # (H, N) in sorted order
    prox = prox.clamp_min(0.0).double()
    return torch.zeros(n_tokens, dtype=torch.float64, device=target.device).index_add(
        0, order.reshape(-1), prox.reshape(-1)
    )


def _sorted_excess(
    value: Tensor,
    weight: Tensor,
    sums: Tensor,
    order: Tensor,
    reach: Tensor,
    dimension: Tensor,
    needed: Tensor,
    target: Tensor,
) -> Tensor:
    """Return Σ_d max(0, σ_d z_d − |y_d|), float32 (H, N); arguments as in `kernels.excess.sorted_excess`."""
    heads, n_tokens = sums.shape
    signed_weight = _sign(target)[None, :, None] * weight  # (H, d, d_h)
    signed_weight = signed_weight.gather(1, dimension[..., None].expand_as(signed_weight))
    ceiling = target.abs()[dimension]  # (H, d)
    head = torch.arange(heads, device=target.device)[:, None] // (heads // value.shape[0])  # (H, 1), KV head
    excess = torch.zeros_like(sums)
    limit = _MAX_ELEMENTS.get(target.device.type, 1 << 22)
    start = 0
    block = 32
    while start < n_tokens:
        bound = reach[:, start : start + 1]  # (H, 1), the largest of the block
        width = int((needed < bound).sum(dim=1).max())
        if width == 0:
            break  # no later token reaches any dimension either
        stop = min(n_tokens, start + max(1, min(block, limit // (heads * width))))
        scaled = value[head, order[:, start:stop]] * sums[:, start:stop, None]  # (H, block, d_h), s·v
        # (H, block, width): σ_d z_d − |y_d|, the subtraction folded into the product
        over = torch.baddbmm(
            ceiling[:, None, :width], scaled, signed_weight[:, :width].transpose(1, 2), beta=-1.0
        )
        excess[:, start:stop] = over.clamp_min_(0.0).sum(dim=-1)
        start = stop
        block *= 2
    return excess


def _sign(target: Tensor) -> Tensor:
    """Return σ, float32 (d,): never 0, as states in half precision may cancel to y = 0, where |z| counts."""
    return torch.where(target < 0, -1.0, 1.0)


def residual_proximity(residual: Tensor, target: Tensor) -> Tensor:
    """Return prox(r, y) as a float64 scalar; both float32 (d,)."""
    residual, target = residual.double(), target.double()
    return (target.abs().sum() - (target - residual).abs().sum()).clamp_min(0.0)
