"""Run a decoder once over a sequence under an observer's eyes, in chunks that fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn
from transformers import DynamicCache

from ..errors import SequenceError
from .families import Family
from .layers import LayerObserver
from .memory import is_out_of_memory, release_memory
from .placement import input_device
from .rotary import read_as_whole

PREFILL_CHUNK = 2048
"""Tokens per forward pass of a prefill; bounds activation memory for long prompts."""
SMALLEST_CHUNK = 64
"""Where memory is short, chunks are halved down to this."""

ObserverT = TypeVar("ObserverT", bound=LayerObserver)


def observe_forward(
    model: nn.Module, family: Family, input_ids: Sequence[int], begin: Callable[[], ObserverT], chunk: int
) -> ObserverT:
    """Run the decoder once over N tokens; return the observer that saw it.

    The language-model head is not run: no logits are needed. Long sequences go through in chunks
    over a KV cache, so activations never grow with the sequence. Where the device runs out of
    memory, smaller chunks are tried, each time with a new observer.

    Args:
        begin: makes an observer.
        chunk: tokens per forward pass.

    Raises:
        SequenceError: if not even `SMALLEST_CHUNK` tokens at a time fit the device's memory.
    """
    chunk = min(chunk, len(input_ids))
    while True:
        try:
            return _run_in_chunks(model, family, input_ids, begin(), chunk)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if chunk <= SMALLEST_CHUNK:
                raise SequenceError(
                    f"The device's memory does not hold {len(input_ids):,} tokens, even {chunk} at a time; "
                    "shorten the sequence, load the model in a smaller dtype, or spread it with device_map."
                ) from error
        chunk = max(SMALLEST_CHUNK, chunk // 2)  # outside the handler, whose traceback holds tensors
        release_memory()


def _run_in_chunks(
    model: nn.Module, family: Family, input_ids: Sequence[int], observer: ObserverT, chunk: int
) -> ObserverT:
    decoder = family.decoder(model)
    ids = torch.as_tensor(list(input_ids), dtype=torch.long, device=input_device(model))[None]  # (1, N)
    n_tokens = ids.shape[1]
    # No configuration is given to the cache: it must keep all keys even where a layer's window is short.
    cache = DynamicCache() if n_tokens > chunk else None
    # Not inference mode: accelerate would leave parameters in it that never train or differentiate again.
    with torch.no_grad(), observer.attached(), read_as_whole(model, n_tokens):
        for start in range(0, n_tokens, chunk):
            part = ids[:, start : start + chunk]
            observer.begin_chunk(start, part.shape[1])
            decoder(input_ids=part, past_key_values=cache, use_cache=cache is not None)
    return observer
