"""The method, written straight from its definitions in float64 with every matrix spelled out.

Slow and obvious on purpose: it keeps the N×N attention and the N×H×d contributions, takes the
residual after attention from the model itself, and shares no code with the engine. Definitions:
FlashTrace, arXiv 2602.01914; ALTI-style proximity, Ferrando et al. 2022.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class OracleLayer:
    """One layer's state: x, m (N, d); attention (H, N, N); contributions' parts."""

    x: Tensor
    m: Tensor
    attention: Tensor
    values: Tensor  # (N, H, d_h), no bias
    output: Tensor  # (H, d, d_h)
    row_gain: Tensor  # (N, d): what a norm after attention multiplies a row by; ones otherwise


def observe(model: Any, input_ids: list[int]) -> list[OracleLayer]:
    """Run a float64 copy of the model with eager attention and keep everything."""
    model = copy.deepcopy(model).double()
    model.set_attn_implementation("eager")
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # the grouped product knows no float64
    config = model.config.get_text_config()
    decoder = getattr(model.model, "language_model", model.model)
    entering: dict[int, Tensor] = {}
    after: dict[int, Tensor] = {}
    normed: dict[int, Tensor] = {}
    attended: dict[int, Tensor] = {}
    gemma = config.model_type.startswith("gemma")
    post_norm = gemma or config.model_type.startswith("olmo")
    for index, layer in enumerate(decoder.layers):
        layer.register_forward_pre_hook(
            lambda _, args, kwargs, i=index: entering.__setitem__(
                i, (args[0] if args else kwargs["hidden_states"])[0]
            ),
            with_kwargs=True,
        )
        block = layer.self_attn
        (block.qkv_proj if config.model_type == "phi3" else block.v_proj).register_forward_pre_hook(
            lambda _, args, i=index: normed.__setitem__(i, args[0][0].double())
        )
        middle = layer.post_attention_layernorm
        if post_norm:
            middle = layer.pre_feedforward_layernorm if gemma else layer.mlp
        middle.register_forward_pre_hook(lambda _, args, i=index: after.__setitem__(i, args[0][0]))
        if post_norm:
            layer.post_attention_layernorm.register_forward_pre_hook(
                lambda _, args, i=index: attended.__setitem__(i, args[0][0])
            )
    with torch.no_grad():
        attentions = decoder(torch.tensor([input_ids]), output_attentions=True, use_cache=False).attentions
    layers = []
    for index, layer in enumerate(decoder.layers):
        attention = attentions[index][0].double()
        heads = attention.shape[0]
        kv_heads = config.num_key_value_heads
        block = layer.self_attn
        d_h = block.head_dim
        if config.model_type == "phi3":
            weight = block.qkv_proj.weight[(heads + kv_heads) * d_h :]
        else:
            weight = block.v_proj.weight
        values = (normed[index] @ weight.T).view(len(input_ids), kv_heads, d_h)
        values = values.repeat_interleave(heads // kv_heads, dim=1)
        output = block.o_proj.weight.view(-1, heads, d_h).transpose(0, 1)
        gain = torch.ones_like(entering[index])
        if post_norm:
            norm = layer.post_attention_layernorm
            raw = attended[index]
            epsilon = norm.eps if gemma else norm.variance_epsilon
            gain = (1.0 + norm.weight) if gemma else norm.weight
            gain = gain * torch.rsqrt(raw.pow(2).mean(-1, keepdim=True) + epsilon)
        layers.append(OracleLayer(entering[index], after[index], attention, values, output, gain))
    return [
        OracleLayer(
            layer.x.detach(), layer.m.detach(), layer.attention.detach(),
            layer.values.detach(), layer.output.detach(), layer.row_gain.detach(),
        )
        for layer in layers
    ]  # fmt: skip


def proximity(z: Tensor, y: Tensor) -> Tensor:
    """max(0, ‖y‖₁ − ‖y − z‖₁) along the last axis."""
    return (y.abs().sum() - (y - z).abs().sum(-1)).clamp_min(0.0)


def hop_totals(layers: list[OracleLayer], weights: Tensor) -> Tensor:
    """Token totals (N,) of one hop for weights (N,) over all rows."""
    totals = torch.zeros(len(weights), dtype=torch.float64)
    for layer in layers:
        y = weights @ layer.m
        r = weights @ layer.x
        per_head = []
        for head in range(layer.attention.shape[0]):
            moved = layer.values[:, head] @ layer.output[head].T  # (N, d), W_O v_j
            scaled = (weights[:, None] * layer.attention[head]).T @ layer.row_gain  # (N, d): Σ_i w_i α_ij g_i
            per_head.append(proximity(scaled * moved, y))
        near = torch.stack(per_head).sum(0)  # (N,)
        totals += near / (near.sum() + proximity(r, y))
    return totals


def flashtrace(
    model: Any, input_ids: list[int], target: Tensor, reasoning: Tensor, hops: int
) -> tuple[list[Tensor], Tensor]:
    """Return each hop's totals and the final score; target (N,) weights, reasoning (N,) bool."""
    layers = observe(model, input_ids)
    last = int(torch.nonzero(target > 0).max())
    sources = ~((target > 0) | reasoning)
    sources[last:] = False
    weights = target.double()
    mass = 1.0
    final = torch.zeros_like(weights)
    raw = []
    for _ in range(hops + 1):
        totals = hop_totals(layers, weights)
        raw.append(totals)
        final += mass * totals / totals.sum()
        mass *= float(totals[reasoning].sum() / totals.sum())
        weights = torch.where(reasoning, totals, 0.0)
        if mass == 0.0:
            break
    final = torch.where(sources, final, 0.0)
    return raw, final / final.sum()
