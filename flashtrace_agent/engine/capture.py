"""Keep what a forward pass shows of every layer, so that hops and targets need no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .families import Family
from .forward import PREFILL_CHUNK, observe_forward
from .layers import LayerCapture, LayerObserver, check_finite


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
class _Parts:
    """One layer's rows as successive chunks bring them, and the last chunk's view of all keys."""

    query: list[Tensor] = field(default_factory=list)
    state: list[Tensor] = field(default_factory=list)
    row_scale: list[Tensor] = field(default_factory=list)
    last: LayerCapture | None = None


class Recorder(LayerObserver):
    """Collects a `Capture`; rows wanted beyond the sequence's end are left out."""

    def __init__(self, family: Family, model: nn.Module, rows: Tensor) -> None:
        super().__init__(family, model, rows)
        self._parts = [_Parts() for _ in family.layers(model)]

    def on_layer(self, index: int, layer: LayerCapture) -> None:
        """Keep the rows of this chunk; see `LayerObserver.on_layer`."""
        parts = self._parts[index]
        parts.query.append(layer.query)
        parts.state.append(layer.state)
        if layer.row_scale is not None:
            parts.row_scale.append(layer.row_scale)
        parts.last = layer

    def finish(self, n_tokens: int) -> Capture:
        """Return what was recorded.

        Raises:
            SequenceError: if an activation is NaN or infinite.
        """
        layers = []
        for index in range(len(self._parts)):
            layers.append(_joined(self._parts[index], n_tokens))
            self._parts[index] = _Parts()  # else every row would be held twice
        check_finite(list(enumerate(layer.is_finite() for layer in layers)))
        return Capture(layers, self.rows[self.rows < n_tokens], n_tokens)


def _joined(parts: _Parts, n_tokens: int) -> LayerCapture:
    assert parts.last is not None
    assert parts.last.key.shape[1] == n_tokens, "keys of the whole sequence reach the attention function"
    return replace(
        parts.last,
        query=torch.cat(parts.query, dim=1),
        state=torch.cat(parts.state),
        row_scale=torch.cat(parts.row_scale) if parts.row_scale else None,
    )


def capture_forward(
    model: nn.Module, family: Family, input_ids: Sequence[int], rows: Tensor, chunk: int = PREFILL_CHUNK
) -> Capture:
    """Run the decoder once over a sequence and keep what attribution needs.

    Args:
        input_ids: N token ids.
        rows: int64 (R,) ascending positions to capture.
        chunk: tokens per forward pass.

    Raises:
        SequenceError: if the device's memory does not hold the sequence, or an activation is NaN
            or infinite.
    """
    recorder = observe_forward(model, family, input_ids, lambda: Recorder(family, model, rows), chunk)
    return recorder.finish(len(input_ids))
