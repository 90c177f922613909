"""Watch every layer of an ordinary forward pass, and see the little that attribution needs.

1. The model runs with its SDPA attention replaced by one that shows its arguments and then calls SDPA:
   queries, keys and values exactly as they are used, after QK-norm, rotary embedding and scaling,
   whatever the architecture does before (`attention.py`).
2. Hooks see m, the residual stream after each layer's attention, for the rows wanted.
3. Where a norm stands between attention and the residual sum (Gemma), a hook sees its factor.

Per layer that is K and V for all tokens (the KV cache) and Q and m for target and reasoning
rows: nothing of size N×N, nothing of width d for prompt rows. The residual stream before
attention is not needed: it is m without what attention brought, which is recomputed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SequenceError
from .attention import ATTENTION_NAME, AttentionCall, observing
from .families import Family


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
        log_sums: float32 (H, R) log-sum-exp of each row's logits, kept by whoever first
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

    def is_finite(self) -> Tensor:
        """Return whether no activation is NaN or infinite, a bool scalar on the layer's device."""
        held = (self.query, self.key, self.value, self.state)
        return torch.stack([tensor.isfinite().all() for tensor in held]).all()


def check_finite(layers: Iterable[tuple[int, Tensor]]) -> None:
    """Refuse activations that mean nothing.

    Args:
        layers: numbers of layers with what `LayerCapture.is_finite` gave for them. They are read when
            all layers have run, so that a GPU need not stop after each.

    Raises:
        SequenceError: if a layer's activations are not all finite.
    """
    for index, is_finite in layers:
        if not is_finite:
            raise SequenceError(
                f"Layer {index} produced NaN or infinite activations; load the model in bfloat16 or float32, "
                "or look for damaged weights."
            )


class LayerObserver(ABC):
    """Sees each layer of a model that runs over a sequence in one or more chunks.

    Call `begin_chunk` before each forward, and run it inside `attached`. A chunk that comes from a
    reused KV cache need not be run: its keys reach the later chunks.

    Args:
        rows: int64 (R,) ascending absolute positions of the rows wanted.

    Attributes:
        here: the slice of `rows` that lies in the present chunk.
    """

    def __init__(self, family: Family, model: nn.Module, rows: Tensor) -> None:
        self.family = family
        self.model = model
        self.rows = rows.cpu()
        self.here = slice(0, 0)
        self._local = self.rows[:0]
        self._entering: Tensor | None = None
        self._call: AttentionCall | None = None
        self._row_scale: Tensor | None = None

    @abstractmethod
    def on_layer(self, index: int, layer: LayerCapture) -> None:
        """Take a layer's part of the present chunk: its rows `here`, and the keys so far."""

    def begin_chunk(self, start: int, length: int) -> None:
        """Say that the next forward covers tokens ``[start, start + length)``."""
        first, last = torch.searchsorted(self.rows, torch.tensor([start, start + length])).tolist()
        self.here = slice(first, last)
        self._local = self.rows[self.here] - start

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch while the body runs the model; whatever happens, leave the model as it was."""
        layers = self.family.layers(self.model)
        attentions = {id(self.family.attention(layer)) for layer in layers}

        def on_attention(module: nn.Module, call: AttentionCall) -> None:
            if id(module) in attentions:
                self._call = call

        with ExitStack() as stack:
            for index, layer in enumerate(layers):
                stack.callback(layer.register_forward_pre_hook(self._on_entering, with_kwargs=True).remove)
                norm = self.family.post_attention_norm(layer)
                if norm is not None:
                    stack.callback(norm.register_forward_pre_hook(self._on_post_norm).remove)
                last = norm or self.family.output_projection(layer)
                stack.callback(last.register_forward_hook(partial(self._on_attended, index)).remove)
            stack.enter_context(_attention_replaced(self.model))
            stack.enter_context(observing(on_attention))
            yield

    def _on_entering(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._entering = self._wanted((args[0] if args else kwargs["hidden_states"])[0])

    def _on_post_norm(self, norm: nn.Module, args: tuple[Any, ...]) -> None:
        if self._call is not None:
            rows = self._wanted(args[0][0]).float()  # (rows here, d)
            self._row_scale = torch.rsqrt(rows.pow(2).mean(-1) + norm_epsilon(norm))

    def _on_attended(self, index: int, _: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        call, entering, row_scale = self._call, self._entering, self._row_scale
        if call is None or entering is None:
            return  # the module is asked for its weight (`families.base.dense_weight`)
        self._call = self._entering = self._row_scale = None
        layer = LayerCapture(
            query=self._wanted(call.query[0].transpose(0, 1)).transpose(0, 1),
            key=call.key[0],
            value=call.value[0],
            state=entering.to(output.device) + self._wanted(output[0]),
            row_scale=row_scale,
            scaling=call.scaling,
            window=call.window,
            softcap=call.softcap,
        )
        self.on_layer(index, layer)

    def _wanted(self, chunk: Tensor) -> Tensor:
        """Return the wanted rows (rows here, …) of a chunk (chunk, …)."""
        # While decoding, every row is wanted: nothing is copied then.
        return chunk if len(self._local) == len(chunk) else chunk[self._local.to(chunk.device)]


def norm_epsilon(norm: nn.Module) -> float:
    """Return the ε of an RMS norm, whichever of its two usual names it has."""
    epsilon = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    assert isinstance(epsilon, float)
    return epsilon


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
