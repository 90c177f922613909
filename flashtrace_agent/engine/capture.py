"""Keep, from one ordinary forward pass, the little that attribution needs.

1. The model runs with its SDPA attention replaced by one that records and then calls SDPA. It
   sees queries, keys and values exactly as they are used: after QK-norm, rotary embedding and
   scaling, whatever the architecture does before (`attention.py`).
2. Hooks keep m, the residual stream after each layer's attention, for the rows wanted.
3. Where a norm stands between attention and the residual sum (Gemma), a hook keeps its factor.

Per layer that is K and V for all tokens (the KV cache) and Q and m for target and reasoning
rows: nothing of size N×N, nothing of width d for prompt rows. The residual stream before
attention need not be kept: it is m without what attention brought, which is recomputed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from ..errors import SequenceError
from .attention import ATTENTION_NAME, AttentionCall, observing
from .families import Family
from .memory import is_out_of_memory, release_memory

PREFILL_CHUNK = 2048
"""Tokens per forward pass of a prefill; bounds activation memory for long prompts."""
SMALLEST_CHUNK = 64
"""Where memory is short, chunks are halved down to this."""


@dataclass(slots=True)
class LayerCapture:
    """What one layer leaves behind for attribution.

    Attributes:
        query: (H, R, d_h) queries of the captured rows, position-encoded.
        key: (H_kv, N, d_h) keys of all tokens.
        value: (H_kv, N, d_h) values of all tokens, any bias included.
        state: (R, d) residual stream after the layer's attention, m, captured rows.
        row_scale: (R,) factor 1/rms of a post-attention norm, or None where there is none.
        scaling: multiplies query·key.
        window: a row sees this many keys, itself included; None for all.
        softcap: logits are squashed to ±softcap by tanh; None for not at all.
        log_sums: float32 (H, R) log-sum-exp of each row's logits, kept by the first hop that
            computes it on a GPU.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    state: Tensor
    row_scale: Tensor | None
    scaling: float
    window: int | None
    softcap: float | None
    log_sums: Tensor | None = None


@dataclass(slots=True)
class Capture:
    """What a whole forward leaves behind: one `LayerCapture` a layer.

    Attributes:
        rows: int64 (R,) ascending absolute positions of the captured rows.
        n_tokens: length N of the sequence.
    """

    layers: list[LayerCapture]
    rows: Tensor
    n_tokens: int

    def covers(self, rows: npt.NDArray[np.intp]) -> bool:
        """Tell whether every one of `rows`, int64 (R,), is held.

        A sequence may be longer than its capture: no row sees a later token.
        """
        return bool(np.isin(rows, self.rows.numpy()).all())

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors held."""
        return sum(
            tensor.nbytes
            for layer in self.layers
            for tensor in (layer.query, layer.key, layer.value, layer.state)
        )


@dataclass(slots=True)
class _LayerParts:
    """Pieces of one layer as successive chunks of the sequence bring them."""

    query: list[Tensor] = field(default_factory=list)
    entering: Tensor | None = None
    state: list[Tensor] = field(default_factory=list)
    row_scale: list[Tensor] = field(default_factory=list)
    last_call: AttentionCall | None = None


class Recorder:
    """Collect a `Capture` while a model runs over a sequence in one or more chunks.

    Call `begin_chunk` before each forward, run it inside `attached`, and `finish` after the last.
    A chunk that comes from a reused KV cache need not be run: its keys reach the later chunks.

    Args:
        rows: int64 (R,) ascending absolute positions whose queries and states are kept; those
            beyond the sequence's end are left out.
    """

    def __init__(self, family: Family, model: nn.Module, rows: Tensor) -> None:
        self._family = family
        self._model = model
        self._rows = rows.cpu()
        self._layers = [_LayerParts() for _ in family.layers(model)]
        self._local = self._rows[:0]

    def begin_chunk(self, start: int, length: int) -> None:
        """Say that the next forward covers tokens ``[start, start + length)``."""
        inside = (self._rows >= start) & (self._rows < start + length)
        self._local = self._rows[inside] - start

    def finish(self, n_tokens: int) -> Capture:
        """Return what was recorded.

        Raises:
            SequenceError: if an activation is NaN or infinite.
        """
        layers = []
        for index in range(len(self._layers)):
            layers.append(_assemble(self._layers[index], n_tokens))
            self._layers[index] = _LayerParts()  # else every row would be held twice
        for index, layer in enumerate(layers):
            held = (layer.query, layer.key, layer.value, layer.state)
            if not all(bool(torch.isfinite(tensor).all()) for tensor in held):
                raise SequenceError(
                    f"Layer {index} produced NaN or infinite activations; "
                    "load the model in bfloat16 or float32."
                )
        return Capture(layers, self._rows[self._rows < n_tokens], n_tokens)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Record while the body runs the model; whatever happens, leave the model as it was."""
        layers = self._family.layers(self._model)
        index_of = {id(self._family.attention(layer)): index for index, layer in enumerate(layers)}

        def on_attention(module: nn.Module, call: AttentionCall) -> None:
            if id(module) in index_of:
                self._on_attention(index_of[id(module)], call)

        with ExitStack() as stack:
            for index, layer in enumerate(layers):
                entering = partial(self._on_entering, index)
                stack.callback(layer.register_forward_pre_hook(entering, with_kwargs=True).remove)
                norm = self._family.post_attention_norm(layer)
                if norm is not None:
                    scaled = partial(self._on_post_norm, index)
                    stack.callback(norm.register_forward_pre_hook(scaled).remove)
                attended = partial(self._on_attended, index)
                last = norm or self._family.output_projection(layer)
                stack.callback(last.register_forward_hook(attended).remove)
            stack.enter_context(_attention_replaced(self._model))
            stack.enter_context(observing(on_attention))
            yield

    def _on_attention(self, index: int, call: AttentionCall) -> None:
        parts = self._layers[index]
        if len(self._local):
            # (1, H, chunk, d_h) -> (H, rows in chunk, d_h)
            parts.query.append(call.query[0].index_select(1, self._local.to(call.query.device)))
        # Its queries of rows nobody asked for would weigh more than all that is kept.
        parts.last_call = replace(call, query=call.query[:, :, :0].clone())

    def _on_entering(self, index: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if len(self._local):
            self._layers[index].entering = self._local_rows(args[0] if args else kwargs["hidden_states"])

    def _on_attended(self, index: int, _: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if len(self._local):
            parts = self._layers[index]
            assert parts.entering is not None, "a layer is entered before it attends"
            parts.state.append(parts.entering.to(output.device) + self._local_rows(output))
            parts.entering = None

    def _on_post_norm(self, index: int, norm: nn.Module, args: tuple[Any, ...]) -> None:
        if len(self._local):
            rows = self._local_rows(args[0]).float()
            self._layers[index].row_scale.append(torch.rsqrt(rows.pow(2).mean(-1) + norm_epsilon(norm)))

    def _local_rows(self, hidden: Tensor) -> Tensor:
        """Return the wanted rows (rows in chunk, d) of a chunk (1, chunk, d)."""
        return hidden[0].index_select(0, self._local.to(hidden.device))


def _assemble(parts: _LayerParts, n_tokens: int) -> LayerCapture:
    call = parts.last_call
    assert call is not None
    assert call.key.shape[2] == n_tokens, "keys of the whole sequence reach the attention function"
    return LayerCapture(
        query=_joined(parts.query, dim=1),
        key=call.key[0],
        value=call.value[0],
        state=_joined(parts.state, dim=0),
        row_scale=_joined(parts.row_scale, dim=0) if parts.row_scale else None,
        scaling=call.scaling,
        window=call.window,
        softcap=call.softcap,
    )


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def norm_epsilon(norm: nn.Module) -> float:
    """Return the ε of an RMS norm, whichever of its two usual names it has."""
    epsilon = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    assert isinstance(epsilon, float)
    return epsilon


def capture_forward(
    model: nn.Module, family: Family, input_ids: Sequence[int], rows: Tensor, chunk: int = PREFILL_CHUNK
) -> Capture:
    """Run the decoder once over a sequence and keep what attribution needs.

    The language-model head is not run: no logits are needed. Long sequences go through in chunks
    over a KV cache, so activations never grow with the sequence. Where the device runs out of
    memory, smaller chunks are tried.

    Args:
        input_ids: N token ids.
        rows: int64 (R,) ascending positions to capture.
        chunk: tokens per forward pass.

    Raises:
        SequenceError: if not even `SMALLEST_CHUNK` tokens at a time fit the device's memory.
    """
    chunk = min(chunk, len(input_ids))
    while True:
        try:
            return _capture_in_chunks(model, family, input_ids, rows, chunk)
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


def _capture_in_chunks(
    model: nn.Module, family: Family, input_ids: Sequence[int], rows: Tensor, chunk: int
) -> Capture:
    decoder = family.decoder(model)
    device = next(iter(model.parameters())).device
    if device.type == "meta":  # offloaded embeddings: accelerate moves the ids itself
        device = torch.device("cpu")
    ids = torch.as_tensor(list(input_ids), dtype=torch.long, device=device)[None]  # (1, N)
    n_tokens = ids.shape[1]
    # No configuration is given to the cache: it must keep all keys even where a layer's window is short.
    cache = DynamicCache() if n_tokens > chunk else None
    recorder = Recorder(family, model, rows)
    with torch.inference_mode(), recorder.attached():
        for start in range(0, n_tokens, chunk):
            part = ids[:, start : start + chunk]
            recorder.begin_chunk(start, part.shape[1])
            decoder(input_ids=part, past_key_values=cache, use_cache=cache is not None)
    return recorder.finish(n_tokens)


@contextmanager
def _attention_replaced(model: nn.Module) -> Iterator[None]:
    config: Any = model.config
    text_config = config.get_text_config(decoder=True)
    before = text_config._attn_implementation
    text_config._attn_implementation = ATTENTION_NAME
    try:
        yield
    finally:
        text_config._attn_implementation = before
