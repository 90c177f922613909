"""Where each row's state comes from: for every row on its own, a share for every token it saw.

Per layer and row i, with y_i = x_i + Σ_j Σ_h z_ij^h (+ biases), the residual stream after attention,
z_ij^h = α_ij^h W_O^h v_j^h, what head h brings from token j, and σ_i = sign(y_i):

    e_ij = max(0, σ_iᵀ Σ_h z_ij^h) / (Σ_j max(0, σ_iᵀ Σ_h z_ij^h) + max(0, σ_iᵀ x_i))

A token counts for what its heads add to ‖y_i‖₁ together: heads that pull both ways cancel, as they do
in the model (adding heads first: ALTI, Ferrando et al. 2022; the linear term of FlashTrace's proximity:
docs/method.md). Because σ_iᵀ z = α (W_Oᵀ σ_i)ᵀ v, nothing of width d exists by token. On a GPU a kernel
does what goes over tokens.

Layers are added up, weighted by depth, and each row is scaled to sum 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import SequenceError
from .attention_tiles import AttentionTile, attention_tiles
from .capture import Capture
from .families import Family
from .forward import observe_forward
from .kernels import kernels_serve
from .layers import LayerCapture, LayerObserver, check_finite
from .memory import is_out_of_memory, release_memory
from .projection import Projection, dense_projection, unbiased_value

if TYPE_CHECKING:
    from .kernels.row_attention import KernelTile


def row_shares(model: nn.Module, family: Family, capture: Capture, used: Tensor) -> Tensor:
    """Return the shares of captured rows, float32 (R', N) on the first layer's device; each row sums to 1.

    Layer l of L counts (l / L)²: early layers gather syntax and position and rest on the first token,
    what a model writes next is decided later (benchmarks/FAITHFULNESS.md).

    Args:
        capture: what a forward left behind, with R rows of N tokens.
        used: int64 (R',) ascending indices of the captured rows wanted.

    Raises:
        SequenceError: if the device's memory does not hold a single row.
    """
    depth = len(capture.layers)
    shares = torch.zeros(len(used), capture.n_tokens, device=capture.layers[0].key.device)
    for number, (layer, module) in enumerate(zip(capture.layers, family.layers(model), strict=True), start=1):
        projection = dense_projection(layer, family, module)
        _add_layer(shares, (number / depth) ** 2, layer, projection, capture.rows, used)
    return _scaled(shares)


def forward_row_shares(
    model: nn.Module, family: Family, input_ids: Sequence[int], rows: Tensor, chunk: int
) -> Tensor:
    """Run the decoder once over N tokens; return the shares of rows, int64 (R,), as `row_shares` does.

    Each layer's are added up while the layer runs, so that nothing else of it has to be kept.

    Raises:
        SequenceError: if the device's memory does not hold the sequence, or an activation is NaN
            or infinite.
    """
    n_tokens = len(input_ids)
    adder = observe_forward(model, family, input_ids, lambda: _Adder(family, model, rows, n_tokens), chunk)
    check_finite(adder.finite)
    assert adder.shares is not None
    return _scaled(adder.shares)


class _Adder(LayerObserver):
    """Adds up the shares of the rows wanted, layer by layer and chunk by chunk."""

    def __init__(self, family: Family, model: nn.Module, rows: Tensor, n_tokens: int) -> None:
        super().__init__(family, model, rows)
        self._layers = family.layers(model)
        self._n_tokens = n_tokens
        self.shares: Tensor | None = None
        self.finite: list[tuple[int, Tensor]] = []

    def on_layer(self, index: int, layer: LayerCapture) -> None:
        """Add what the rows of this chunk have from all tokens so far; see `LayerObserver.on_layer`."""
        if self.shares is None:
            self.shares = torch.zeros(len(self.rows), self._n_tokens, device=layer.key.device)
        rows = self.rows[self.here]
        if not len(rows):
            return
        self.finite.append((index, layer.is_finite()))
        projection = dense_projection(layer, self.family, self._layers[index])
        shares = self.shares[self.here, : layer.key.shape[1]]
        _add_layer(
            shares, ((index + 1) / len(self._layers)) ** 2, layer, projection, rows, torch.arange(len(rows))
        )


def _scaled(shares: Tensor) -> Tensor:
    """Return rows scaled to sum 1."""
    return shares.div_(shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny))


def _add_layer(
    shares: Tensor, factor: float, layer: LayerCapture, projection: Projection, rows: Tensor, used: Tensor
) -> None:
    """Add a layer's shares, of half the rows at a time where memory is short."""
    try:
        # Kept until all rows went well, or those before the failure would be added twice.
        added = _layer_shares(layer, projection, rows, used)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(used) == 1:
            raise SequenceError(
                f"The device's memory does not hold one row's attention on {layer.key.shape[1]:,} tokens; "
                "shorten the sequence, or free memory on the device."
            ) from error
    else:
        shares.add_(added.to(shares.device), alpha=factor)
        return
    release_memory()
    half = len(used) // 2
    _add_layer(shares[:half], factor, layer, projection, rows, used[:half])
    _add_layer(shares[half:], factor, layer, projection, rows, used[half:])


def _layer_shares(layer: LayerCapture, projection: Projection, rows: Tensor, used: Tensor) -> Tensor:
    """Return e of one layer, float32 (R', N)."""
    device = layer.key.device
    used, rows = used.to(device), rows.to(device)
    heads, width, value_width = projection.weight.shape
    flat = projection.weight.transpose(0, 1).reshape(width, heads * value_width)  # (d, H·d_h)
    value = unbiased_value(layer, projection)  # (H_kv, N, d_h)
    tiles: Iterable[AttentionTile | KernelTile]
    if kernels_serve(device):
        from .kernels.attention import KernelRows
        from .kernels.row_attention import KernelTile

        value, flat = value.to(projection.dtype), flat.to(projection.dtype)
        tiles = [KernelTile(KernelRows.of(layer, rows, used))]
    else:
        tiles = attention_tiles(layer, layer.query[:, used], rows[used])
    state = layer.state[used].float()  # (R', d), y
    scale = None if layer.row_scale is None else layer.row_scale[used][:, None]  # (R', 1), 1/rms
    shares = torch.zeros(len(used), layer.key.shape[1], device=device)
    for tile in tiles:
        inside = slice(tile.start, tile.stop)
        sign = torch.sign(state[inside])  # (tile, d), σ
        directions = (sign.to(flat.dtype) @ flat).view(-1, heads, value_width)  # (tile, H, d_h), W_Oᵀσ
        along = tile.along(directions, value)  # (tile, keys), σᵀ Σ_h z^h
        brought = along.sum(dim=1, keepdim=True) + (sign @ projection.offset)[:, None]  # (tile, 1), σᵀ(y − x)
        if scale is not None:
            along, brought = along.mul_(scale[inside]), brought.mul_(scale[inside])
        kept = state[inside].abs().sum(dim=1, keepdim=True) - brought  # (tile, 1), σᵀx
        near = along.clamp_min_(0.0)
        total = near.sum(dim=1, keepdim=True) + kept.clamp_min(0.0)
        unit = torch.where(total > 0, 1 / total.clamp_min(1e-30), 0.0)  # (tile, 1)
        torch.mul(near, unit, out=shares[inside, tile.low : tile.high])
    return shares
