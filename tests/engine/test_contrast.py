"""Two-point contrast: nothing of the difference may be lost on the way back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flashtrace_agent.engine import secant
from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.log_prob import force_tokens
from flashtrace_agent.engine.methods import contrast
from flashtrace_agent.engine.request import make_request
from flashtrace_agent.errors import SequenceError, UnsupportedModelError

from .test_against_oracle import ANSWER, REASONING, token_ids
from .tiny_models import CONFIGS, tiny_model

EXPERTS = ("qwen2_moe", "qwen3_moe", "mixtral", "glm4_moe")
numbers = st.lists(st.floats(-30, 30), min_size=6, max_size=6)


def _difference(function: Callable[[Tensor], Tensor], first: list[float], second: list[float]) -> None:
    """Check f(x₀) − f(x₁) = m · (x₀ − x₁) for a scalar made of every output."""
    points = torch.tensor([first, second], dtype=torch.float64, requires_grad=True)
    with secant.SecantMode():
        values = function(points)
    readout = torch.arange(1.0, values[0].numel() + 1, dtype=torch.float64).view_as(values[0])
    (multiplier,) = torch.autograd.grad((values[0] * readout).sum(), points)
    carried = float((multiplier[0] * (points[0] - points[1])).sum().detach())
    expected = float(((values[0] - values[1]) * readout).sum().detach())
    scale = float(values.detach().abs().max()) + 1.0
    assert carried == pytest.approx(expected, abs=1e-5 * scale)
    assert not multiplier[1].any()


@settings(max_examples=40, deadline=None)
@given(numbers, numbers)
@pytest.mark.parametrize(
    "function",
    [
        torch.nn.functional.silu,
        lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
        lambda x: torch.softmax(x, dim=-1),
        lambda x: secant.log_sum_exp(x),
        lambda x: torch.matmul(x.view(2, 2, 3), torch.tanh(x).view(2, 3, 2)),
        lambda x: x / (1.0 + torch.sigmoid(x)),
    ],
    ids=["silu", "gelu", "rms_norm", "softmax", "log_sum_exp", "matmul", "quotient"],
)
def test_every_rule_carries_the_whole_difference(
    function: Callable[[Tensor], Tensor], first: list[float], second: list[float]
) -> None:
    _difference(function, first, second)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in EXPERTS])
def test_scores_add_up_to_what_the_sources_are_worth(name: str) -> None:
    """Their sum is log p(target | text) − log p(target | sources blanked)."""
    model, ids = tiny_model(name).double(), token_ids()
    request = make_request(len(ids), ANSWER, REASONING)
    scores = contrast.carried_back(model, ids, request, filler=0)
    blank = [0 if source else token for token, source in zip(ids, request.sources, strict=True)]
    with_sources, without = force_tokens(
        model, [[*ids[: ANSWER.end]], blank[: ANSWER.end]], [ANSWER.start] * 2
    )
    assert scores.sum() == pytest.approx(with_sources.total - without.total, rel=1e-4, abs=1e-4)
    assert not scores[~request.sources].any()


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_model("llama")
    before = model.config._attn_implementation
    Attributor(model, None).attribute(token_ids(), ANSWER, method="contrast")
    assert model.config._attn_implementation == before
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", EXPERTS)
def test_routed_models_are_refused_not_guessed(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match="mixture of experts"):
        Attributor(tiny_model(name), None).attribute(token_ids(), ANSWER, method="contrast")


def test_a_sequence_too_long_for_full_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrast, "_MAX_LOGIT_BYTES", 1 << 14)
    with pytest.raises(SequenceError, match="at most 22 tokens"):
        Attributor(tiny_model("llama"), None).attribute(token_ids(), ANSWER, method="contrast")
