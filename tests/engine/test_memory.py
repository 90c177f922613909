"""A device that runs out of memory: less at a time and the same scores, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from flashtrace_agent.engine import forward, hop
from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.errors import SequenceError
from flashtrace_agent.span import Span

from .tiny_models import tiny_model

N = 300
IDS = torch.randint(3, 128, (N,), generator=torch.Generator().manual_seed(0)).tolist()
TARGETS = [Span(290, 300), Span(280, 286), Span(270, 274)]


def _full_above(limit: int, run: Callable[..., Any], size: Callable[..., int]) -> Callable[..., Any]:
    """Return `run`, failing as a full device does when a call's size exceeds the limit."""

    def limited(*args: Any, **kwargs: Any) -> Any:
        if size(*args, **kwargs) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(*args, **kwargs)

    return limited


def test_the_prefill_takes_smaller_chunks_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    expected = Attributor(model, None).attribute(IDS, TARGETS[0], Span(200, 270))
    lengths: list[int] = []

    def size(*, input_ids: torch.Tensor, **_: Any) -> int:
        lengths.append(input_ids.shape[1])
        return input_ids.shape[1]

    monkeypatch.setattr(model.model, "forward", _full_above(100, model.model.forward, size))
    result = Attributor(model, None).attribute(IDS, TARGETS[0], Span(200, 270))
    assert lengths[:2] == [300, 150]
    assert max(lengths[2:]) == 75
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-4, atol=1e-7)


def test_a_device_too_small_for_the_smallest_chunk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    before = model.config._attn_implementation
    monkeypatch.setattr(
        model.model,
        "forward",
        _full_above(
            forward.SMALLEST_CHUNK - 1, model.model.forward, lambda *, input_ids, **_: input_ids.shape[1]
        ),
    )
    with pytest.raises(SequenceError, match="does not hold 300 tokens, even 64 at a time"):
        Attributor(model, None).attribute(IDS, TARGETS[0])
    assert model.config._attn_implementation == before
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_targets_are_taken_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    attributor = Attributor(tiny_model("qwen3"), None)
    expected = attributor.attribute_many(IDS, TARGETS, method="flashtrace")
    limited = _full_above(1, hop._layer_scores, lambda layer, rows, used, weights, *_: len(weights))
    monkeypatch.setattr(hop, "_layer_scores", limited)
    for ours, theirs in zip(
        attributor.attribute_many(IDS, TARGETS, method="flashtrace"), expected, strict=True
    ):
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4, atol=1e-7)
    monkeypatch.setattr(hop, "_layer_scores", _full_above(0, hop._layer_scores, lambda *_: 1))
    with pytest.raises(SequenceError, match="attention sums of 300 tokens"):
        attributor.attribute_many(IDS, TARGETS, method="flashtrace")


def test_other_errors_are_not_taken_for_a_full_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")

    def broken(**_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(model.model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        Attributor(model, None).attribute(IDS, TARGETS[0])
