"""An attention function for transformers that can be watched.

Registered once under `ATTENTION_NAME`. It computes what SDPA computes and shows each call to
the observer of the current thread, if there is one; without an observer it is plain SDPA, so a
second thread using the model meanwhile notices nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION_NAME = "flashtrace_sdpa"
_SOFTCAP_TILE = 128


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """One layer's attention as the attention function receives it.

    Attributes:
        query: (1, H, rows, d_h); key, value: (1, H_kv, N so far, d_h).
        scaling: multiplies query·key; window, softcap: see `layers.LayerCapture`.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scaling: float
    window: int | None
    softcap: float | None


Observer = Callable[[nn.Module, AttentionCall], None]
_current = threading.local()


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Show this thread's attention calls to `observer` while the body runs."""
    before = getattr(_current, "observer", None)
    _current.observer = observer
    try:
        yield
    finally:
        _current.observer = before


def observed_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as `sdpa_attention_forward` does (same arguments), showing the call to the observer."""
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    observer: Observer | None = getattr(_current, "observer", None)
    if observer is not None:
        # Qwen2-MoE sets its window on the module and in the mask, but does not hand it over.
        window = getattr(module, "sliding_window", None) if sliding_window is None else sliding_window
        observer(module, AttentionCall(query, key, value, scale, window, softcap))
    if softcap is not None:
        return _softcapped_attention(query, key, value, attention_mask, scale, softcap), None
    output: Tensor = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scale, sliding_window=sliding_window, **kwargs
    )[0]
    return output, None


def _softcapped_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, softcap: float
) -> Tensor:
    """Attend with logits squashed to ±softcap, which SDPA cannot, in tiles of rows.

    Returns (1, rows, H, d_h). `mask` is boolean (True: visible) or additive, (1, 1, rows, N);
    None means causal.
    """
    heads, rows, width = query.shape[1:]
    n_keys = key.shape[2]
    groups = heads // key.shape[1]
    output = torch.empty(1, rows, heads, width, dtype=query.dtype, device=query.device)
    key, value = key[0], value[0]  # (H_kv, N, d_h)
    for start in range(0, rows, _SOFTCAP_TILE):
        tile = query[0, :, start : start + _SOFTCAP_TILE]  # (H, tile, d_h)
        size = tile.shape[1]
        stacked = tile.reshape(-1, groups * size, width)  # (H_kv, groups·tile, d_h)
        logits = torch.matmul(stacked, key.transpose(1, 2)).view(heads, size, n_keys) * scale
        logits = softcap * torch.tanh(logits / softcap)
        if mask is None:
            row = torch.arange(start, start + size, device=query.device)[:, None] + n_keys - rows
            hidden = torch.arange(n_keys, device=query.device)[None] > row  # (tile, N)
            logits = logits.masked_fill(hidden, -torch.inf)
        elif mask.dtype == torch.bool:
            logits = logits.masked_fill(~mask[0, :, start : start + size, :n_keys], -torch.inf)
        else:
            logits = logits + mask[0, :, start : start + size, :n_keys]
        weights = torch.softmax(logits.float(), dim=-1).to(query.dtype)  # (H, tile, N)
        mixed = torch.matmul(weights.view(-1, groups * size, n_keys), value)  # (H_kv, groups·tile, d_h)
        output[0, start : start + size] = mixed.view(heads, size, width).transpose(0, 1)
    return output


AttentionInterface.register(ATTENTION_NAME, observed_sdpa)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
