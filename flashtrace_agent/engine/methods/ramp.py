"""FlashTrace with deeper layers counting more and heads added up before they are measured.

As `flashtrace`, hop by hop, but for two things (benchmarks/FAITHFULNESS.md says what both are worth):

1. Layer l of L counts l / L. Early layers gather syntax and position, and rest on the first token; what a
   model writes next is decided later. Leaving the earlier half out altogether lost evidence.
2. A token's nearness to the target is max(0, σᵀ Σ_h z_j^h) with σ = sign(y): what its heads add to the
   target together, in place of Σ_h max(0, ‖y‖₁ − ‖y − z_j^h‖₁) (after ALTI, Ferrando et al. 2022, which
   adds heads first too). Heads that pull both ways cancel, as they do in the model. It costs one dot
   product a head and token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..hop import Projection, hop_totals
from .flashtrace import FlashTrace

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture


class Ramp(FlashTrace):
    """Signed contributions, weighted by depth."""

    name = "ramp"
    passes = "1 forward without the head, plus under 0.1 forward a hop"

    def totals(self, attributor: Attributor, capture: Capture, weights: Tensor) -> Tensor:
        """Return float64 (M, N) token totals of one hop for weights (M, R) over the captured rows."""
        count = len(capture.layers)
        with torch.inference_mode():
            return hop_totals(
                attributor.model,
                attributor.family,
                capture,
                weights,
                layer_weights=[(index + 1) / count for index in range(count)],
                measure=signed_alignment,
            )


def signed_alignment(
    sums: Tensor, value: Tensor, projection: Projection, residual: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Return max(0, σᵀ Σ_h z_j^h), float64 (N,), and max(0, σᵀr); see `hop.Measure`."""
    sign = torch.sign(target)  # (d,)
    heads, n_tokens = sums.shape
    direction = torch.einsum("hde,d->he", projection.weight, sign)  # (H, d_h), W_Oᵀσ
    grouped = direction.view(value.shape[0], -1, value.shape[2])  # (H_kv, groups, d_h)
    projected = torch.matmul(value, grouped.transpose(1, 2))  # (H_kv, N, groups)
    linear = sums * projected.transpose(1, 2).reshape(heads, n_tokens)  # (H, N), σᵀz
    near = linear.double().sum(dim=0).clamp_min(0.0)
    return near, (sign.double() @ residual.double()).clamp_min(0.0)
