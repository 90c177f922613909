"""Gradient × input of the target's summed log-probability (Simonyan et al. 2013; Shrikumar et al. 2016).

A token's score is |Σ_d ∂L/∂e_d · e_d| over its embedding e, with L = Σ_i w_i log p(token i | before).
A baseline: one forward and one backward, whatever the target's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...attribution import Hop
from ..placement import input_device
from ..request import Request
from .base import Method, MethodResult, check_differentiable, normalise

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture


class GradientTimesInput(Method):
    """One backward from the target's log-probability to the input embeddings."""

    name = "gradient"
    passes = "1 forward, plus 1 backward a target"

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request; `hops` and `capture` are ignored. See `Method.run`."""
        model = attributor.model
        embed = model.get_input_embeddings()
        ids = torch.as_tensor(list(input_ids), device=input_device(model))  # (N,)
        with torch.enable_grad():
            embeddings = embed(ids[None]).detach().requires_grad_(True)  # (1, N, d)
            logits = model(inputs_embeds=embeddings, use_cache=False).logits[0, :-1].float()  # (N−1, V)
            following = ids[1:, None].to(logits.device)
            log_probs = torch.log_softmax(logits, dim=-1).gather(1, following)[:, 0]  # (N−1,)
            check_differentiable(log_probs)
            results = []
            for request in requests:
                weights = torch.from_numpy(request.weights[1:]).to(log_probs)  # (N−1,)
                (gradient,) = torch.autograd.grad(
                    (weights * log_probs).sum(), embeddings, retain_graph=request is not requests[-1]
                )
                scores = (gradient * embeddings).sum(dim=-1).abs()[0].detach().double().cpu().numpy()  # (N,)
                hop = Hop(scores.astype(np.float32), 0.0)
                results.append(MethodResult(normalise(scores, request.sources), (hop,)))
        return results
