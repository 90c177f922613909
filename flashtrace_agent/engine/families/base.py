"""What the engine needs to know of a model architecture, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UnsupportedModelError

_WIDE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Dtypes that torch computes in; eight-bit floats are for storage."""


class Family:
    """Where a decoder-only architecture keeps the parts that attribution reads.

    The defaults fit pre-norm decoders laid out like Llama: ``layers[i].self_attn`` with ``v_proj`` and
    ``o_proj``, whose output is added to the residual stream as it is. A family that differs overrides
    the method that differs.

    Attributes:
        model_types: values of ``config.model_type`` the family serves.
    """

    model_types: tuple[str, ...] = ()

    def decoder(self, model: Any) -> nn.Module:
        """Return the stack that maps ids to hidden states, without the language-model head or vision tower.

        transformers is asked, which also finds it in what wraps a model, as PEFT does.
        """
        decoder: nn.Module = model.get_decoder()
        return decoder

    def layers(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the decoder layers in order; each one's input is the residual stream."""
        layers = find_module(self.decoder(model), "layers")
        assert isinstance(layers, nn.ModuleList)
        return list(layers)

    def attention(self, layer: nn.Module) -> nn.Module:
        """Return the attention module of a layer: the one handed to the attention function."""
        return find_module(layer, "self_attn")

    def output_projection(self, layer: nn.Module) -> nn.Module:
        """Return the module that maps concatenated heads (H·d_h) to the residual stream (d)."""
        return find_module(self.attention(layer), "o_proj")

    def value_bias(self, layer: nn.Module) -> Tensor | None:
        """Return the bias inside the captured values, shape (H_kv·d_h,), or None."""
        return bias_of(find_module(self.attention(layer), "v_proj"))

    def post_attention_norm(self, layer: nn.Module) -> nn.Module | None:
        """Return the norm between the attention output and the residual sum (Gemma, OLMo), or None."""
        return None


def find_module(parent: nn.Module, name: str) -> nn.Module:
    """Return a named child.

    Raises:
        UnsupportedModelError: naming the module that was looked for.
    """
    child = getattr(parent, name, None)
    if not isinstance(child, nn.Module):
        raise UnsupportedModelError(
            f"{type(parent).__name__} has no module {name!r}, which attribution reads; this architecture "
            "needs its own adapter (see CONTRIBUTING.md, 'Add a model family')."
        )
    return child


@torch.no_grad()
def bias_of(module: nn.Module) -> Tensor | None:
    """Return a projection's bias, or None where it has none.

    A bias that is offloaded while its layer does not run is asked for: zeros go through the module.
    """
    bias = getattr(module, "bias", None)
    if not isinstance(bias, Tensor) or bias.device.type != "meta":
        return bias.detach() if isinstance(bias, Tensor) else None
    width = module.in_features
    assert isinstance(width, int)
    asked: Tensor = module(torch.zeros(1, width, dtype=bias.dtype))[0]
    return asked


@torch.no_grad()
def dense_weight(module: nn.Module, in_features: int, device: torch.device) -> Tensor:
    """Return a projection's weight (out, in) as floats, however it is stored.

    A plain `nn.Linear` is read directly. Anything else (quantized, offloaded, wrapped) is asked:
    the identity matrix goes through it, so no storage format has to be known.
    """
    weight = getattr(module, "weight", None)
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    if isinstance(weight, Tensor) and weight.dtype in _WIDE:
        if type(weight) is nn.Parameter and type(module) is nn.Linear and weight.device.type != "meta":
            return weight.detach().to(device)
        dtype = weight.dtype
    identity = torch.eye(in_features, device=device, dtype=dtype)
    rows: Tensor = module(identity)  # (in, out), plus the bias on every row
    bias = bias_of(module)
    if bias is not None:
        rows = rows.float() - bias.to(device=rows.device, dtype=torch.float32)
    dense: Tensor = rows.T.to(device)  # (out, in)
    return dense
