"""Backward passes that carry finite differences between two points instead of derivatives.

A batch of two sequences, the text and its blanked version, goes through the model at once. Every
operation keeps its value, but the gradient of the first sequence is replaced by a *secant*: the
factor m with f(x₀) − f(x₁) = m · (x₀ − x₁), exactly. Chained backward, differences at the output
become differences at the input with nothing lost (the completeness of DeepLIFT, arXiv 1704.02685;
its rescale rule for functions of one variable, here with exact rules for products and softmax):

1. elementwise f: m = (f(x₀) − f(x₁)) / (x₀ − x₁), the derivative at the midpoint where they meet.
2. products: Δ(ab) = b̄ Δa + ā Δb with means over the two points; matrix products alike.
3. softmax: with the logarithmic mean Λ_j of p₀ⱼ and p₁ⱼ, Δp_j = Λ_j (Δl_j − Σ_k Λ_k Δl_k / Σ_k Λ_k).
4. whatever is linear needs no rule.

Only the first sequence's gradients mean something; the second one's stay zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import UnsupportedModelError

_NEAR = 1e-3
"""Relative distance of two points below which the midpoint's derivative is the better secant."""


class SecantMode(TorchFunctionMode):
    """While active, nonlinear torch functions of a batch of two propagate secants backward.

    Parameters must not require gradients, or their products would count as products of variables.

    Raises:
        UnsupportedModelError: from an operation whose first dimension no longer holds the two points.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        moving = [a for a in args[:2] if isinstance(a, Tensor) and a.requires_grad]
        if moving and torch.is_grad_enabled():
            if name in _ELEMENTWISE:
                return elementwise(moving[0], lambda x: func(x, *args[1:], **kwargs))
            if name in _PRODUCTS and len(moving) == 2:
                return product(moving[0], moving[1], _PRODUCTS[name])
            if name in _QUOTIENTS and args[-1] is moving[-1]:
                return product(args[0], elementwise(moving[-1], torch.reciprocal), torch.mul)
            if name == "softmax":
                return softmax(moving[0])
        return func(*args, **kwargs)


_ELEMENTWISE = frozenset(
    "silu gelu relu softplus sigmoid tanh exp log rsqrt sqrt reciprocal square pow __pow__".split()  # noqa: SIM905
)
_PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "multiply"), torch.mul),
    **dict.fromkeys(("matmul", "__matmul__", "bmm"), torch.matmul),
}
_QUOTIENTS = frozenset(("div", "__truediv__", "true_divide"))


def elementwise(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return function(x), shape (2, …), whose gradient is the secant of the two points."""
    _check_pair(x)
    points = precise(x.detach())
    values = function(points)
    step = points[0] - points[1]
    near = step.abs() <= _NEAR * (points[0].abs() + points[1].abs())
    with torch.enable_grad():
        middle = points.mean(dim=0).requires_grad_(True)
        (derivative,) = torch.autograd.grad(function(middle).sum(), middle)
    slope = torch.where(near, derivative, (values[0] - values[1]) / torch.where(near, 1.0, step))
    return _with_value(x * slope.to(x.dtype), function(x.detach()))


def product(a: Tensor, b: Tensor, multiply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return multiply(a, b), bilinear, each factor's gradient seeing the other's mean."""
    moving = [x for x in (a, b) if isinstance(x, Tensor) and x.requires_grad]
    if len(moving) < 2:
        return multiply(a, b)
    _check_pair(a)
    _check_pair(b)
    mean_a, mean_b = a.detach().mean(dim=0, keepdim=True), b.detach().mean(dim=0, keepdim=True)
    return _with_value(multiply(a, mean_b) + multiply(mean_a, b), multiply(a.detach(), b.detach()))


def softmax(logits: Tensor) -> Tensor:
    """Return softmax over the last dimension, (2, …, n), with secant gradients."""
    _check_pair(logits)
    log_p = torch.log_softmax(precise(logits.detach()), dim=-1)
    p, mean = log_p.exp(), _logarithmic_mean(log_p)  # (2, …, n), (…, n)
    centred = logits - _secant_log_sum(logits, mean)
    return _with_value(centred * mean.to(logits.dtype), p.to(logits.dtype))


def log_sum_exp(logits: Tensor) -> Tensor:
    """Return log Σ exp over the last dimension, kept with size 1, with secant gradients."""
    _check_pair(logits)
    points = precise(logits.detach())
    mean = _logarithmic_mean(torch.log_softmax(points, dim=-1))
    return _with_value(_secant_log_sum(logits, mean), points.logsumexp(-1, keepdim=True).to(logits.dtype))


def _secant_log_sum(logits: Tensor, mean: Tensor) -> Tensor:
    """Return Σ_j Λ_j l_j / Σ_j Λ_j: linear in the logits, its difference is that of log Σ exp."""
    total = mean.sum(dim=-1, keepdim=True)
    return (logits * (mean / total).to(logits.dtype)).sum(dim=-1, keepdim=True)


def _logarithmic_mean(log_p: Tensor) -> Tensor:
    """Return (p₀ − p₁) / (log p₀ − log p₁) from log p, (2, …, n) -> (…, n)."""
    p = log_p.exp()
    step = log_p[0] - log_p[1]
    near = step.abs() <= _NEAR
    return torch.where(near, p.mean(dim=0), (p[0] - p[1]) / torch.where(near, 1.0, step))


def precise(x: Tensor) -> Tensor:
    """Return half precision as float32: differences of close numbers need it."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _with_value(linear: Tensor, value: Tensor) -> Tensor:
    """Return `value` with the gradient of `linear`."""
    return linear + (value - linear).detach()


def _check_pair(x: Tensor) -> None:
    if x.shape[0] != 2:
        raise UnsupportedModelError(
            "The contrast method compares two versions of a text token by token, but this model routes "
            "their tokens apart (mixture of experts); choose another method."
        )
