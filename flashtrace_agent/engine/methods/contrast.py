"""Two-point contrast: the target's log-probability with the sources there against them blanked.

1. The text and a copy whose source tokens are all replaced by one filler token run as a batch of two.
2. One backward pass carries the exact difference of the target's log-probability back to the input
   embeddings (`engine/secant.py`); a token's score is what arrives at it, Σ_d m_d (e_d − blank_d).
3. The scores add up to the whole difference, which is checked. Negative ones (tokens that spoke
   against the target) are clipped, since scores are shares.

In the line of DeepLIFT (arXiv 1704.02685). Attention is recomputed in full a layer at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from ...attribution import Hop
from ...errors import SequenceError, UnsupportedModelError
from ...percent import percent
from .. import secant
from ..filler import filler_token
from ..placement import input_device
from ..request import Request
from .base import Method, MethodResult, check_differentiable, normalise

if TYPE_CHECKING:
    from ..attributor import Attributor
    from ..capture import Capture

_ATTENTION_NAME = "flashtrace_contrast"
_MISSING = {torch.float64: 0.01, torch.float32: 0.02, torch.bfloat16: 0.34, torch.float16: 0.34}
"""Share of the difference that may be missing after rounding."""
_MAX_LOGIT_BYTES = 4 << 30
"""Bytes of one layer's attention logits, (2, H, N, N) float32."""


class Contrast(Method):
    """The difference two texts make, carried back in one pass."""

    name = "contrast"
    passes = "1 forward over two texts with full attention, plus 1 backward with recomputation a target"

    def run(
        self,
        attributor: Attributor,
        input_ids: Sequence[int],
        requests: Sequence[Request],
        hops: int,
        capture: Capture | None = None,
    ) -> list[MethodResult]:
        """Score every request; `hops` and `capture` are ignored. See `Method.run`.

        Raises:
            UnsupportedModelError: if the model computes something no difference can be followed through.
            SequenceError: if the sequence is too long for full attention.
        """
        _check_length(attributor.model, len(input_ids))
        filler = filler_token(attributor.model, attributor.tokenizer)
        results = []
        for request in requests:
            scores = np.clip(carried_back(attributor.model, input_ids, request, filler), 0.0, None)
            results.append(
                MethodResult(normalise(scores, request.sources), (Hop(scores.astype(np.float32), 0.0),))
            )
        return results


def carried_back(
    model: Any, input_ids: Sequence[int], request: Request, filler: int
) -> npt.NDArray[np.float64]:
    """Return what each token contributes to the target's log-probability, signed, float64 (N,) in nats.

    The sum is log p(target | text) − log p(target | text with every source replaced by `filler`).

    Raises:
        UnsupportedModelError: if part of that difference is lost on the way.
        SequenceError: if the model computes NaN or infinite numbers.
    """
    ids = list(input_ids)
    embed = model.get_input_embeddings()
    pair = torch.tensor([ids, np.where(request.sources, filler, ids).tolist()], device=input_device(model))
    positions = np.flatnonzero(request.weights[1:]) + 1  # a first token is predicted by nothing
    if not len(positions):
        raise SequenceError("The target is the first token, which no token precedes; choose a later one.")
    first = int(positions[0]) - 1
    with _frozen(model), _attention_of_two(model), torch.enable_grad():
        embeddings = embed(pair).detach().requires_grad_(True)  # (2, N, d)
        with secant.SecantMode():
            logits = model(
                inputs_embeds=embeddings, use_cache=False, logits_to_keep=len(ids) - first
            ).logits  # (2, N − first, V)
        rows = secant.precise(logits[:, positions - 1 - first])  # (2, targets, V)
        chosen = pair[:, positions, None].to(rows.device)
        log_probs = (rows.gather(2, chosen) - secant.log_sum_exp(rows))[..., 0]  # (2, targets)
        weights = torch.from_numpy(request.weights[positions]).to(log_probs)
        check_differentiable(log_probs)
        totals = log_probs @ weights  # (2,)
        (gradient,) = torch.autograd.grad(totals[0], embeddings)
    difference = float((totals[0] - totals[1]).detach())
    multiplier, step = gradient[0].double(), (embeddings[0] - embeddings[1]).detach().double()
    scores: npt.NDArray[np.float64] = (multiplier * step).sum(dim=-1).cpu().numpy()  # (N,)
    missing = abs(scores.sum() - difference) / max(abs(difference), 1.0)
    if not math.isfinite(missing):
        raise SequenceError(
            "The contrast method met NaN or infinite numbers; load the model in bfloat16 or float32, or "
            "choose another method."
        )
    if missing > _MISSING[model.dtype]:
        raise UnsupportedModelError(
            f"The contrast method lost {percent(missing, 0)} of the difference on the way through "
            f"{type(model).__name__}, which computes something it has no rule for; choose another method."
        )
    return scores


def _check_length(model: Any, n_tokens: int) -> None:
    heads = model.config.get_text_config(decoder=True).num_attention_heads
    needed = 2 * heads * n_tokens * n_tokens * 4
    if needed > _MAX_LOGIT_BYTES:
        longest = math.isqrt(_MAX_LOGIT_BYTES // (8 * heads))
        raise SequenceError(
            f"The contrast method takes at most {longest:,} tokens with this model, and there are "
            f"{n_tokens:,}; use flashtrace."
        )


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Let no parameter require a gradient while the body runs."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, needed in before:
            parameter.requires_grad_(needed)


@contextmanager
def _attention_of_two(model: Any) -> Iterator[None]:
    config = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = _ATTENTION_NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend over (2, H, N, d_h) with secant rules; a layer's matrices are recomputed when needed."""
    assert attention_mask is not None, "eager_mask always gives one"
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    mixed = checkpoint(
        _attend_in_full, query, key, value, attention_mask, scale, softcap, use_reentrant=False
    )
    return mixed.transpose(1, 2).contiguous(), None  # (2, N, H, d_h)


def _attend_in_full(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float, softcap: float | None
) -> Tensor:
    with torch._C.DisableTorchFunction():
        groups = query.shape[1] // key.shape[1]
        key = key.repeat_interleave(groups, dim=1).transpose(2, 3)  # (2, H, d_h, N)
        value = value.repeat_interleave(groups, dim=1)  # (2, H, N, d_h)
        logits = secant.precise(secant.product(query, key, torch.matmul)) * scale  # (2, H, N, N)
        if softcap is not None:
            logits = secant.elementwise(logits, lambda x: softcap * torch.tanh(x / softcap))
        weights = secant.softmax(logits + mask[..., : logits.shape[-1]].to(logits.dtype)).to(value.dtype)
        return secant.product(weights, value, torch.matmul)


AttentionInterface.register(_ATTENTION_NAME, _attend)
AttentionMaskInterface.register(_ATTENTION_NAME, eager_mask)
