"""Models on a device that is not the CPU, and spread over two: nothing lies where it does not belong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import AlignDevicesHook, add_hook_to_module

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.kept import kept_captures
from flashtrace_agent.engine.methods import METHODS
from flashtrace_agent.integrations.langchain.generation import generate
from flashtrace_agent.span import Span

from .far_device import FAR, FarTensor, far_device, send
from .tiny_models import CONFIGS, tiny_model

NEAR = torch.device("cpu")
IDS = torch.randint(3, 128, (40,), generator=torch.Generator().manual_seed(0)).tolist()
TARGETS = [Span(30, 38), Span(35, 40)]
THROUGH = [[Span(20, 28)], None]
RUNS = [(name, method) for name in CONFIGS for method in ("walk", "flashtrace")]
RUNS += [("llama", method) for method in METHODS if method not in ("auto", "walk", "flashtrace")]


def _everything_far(model: Any) -> None:
    send(model)


def _split(*places: torch.device) -> Callable[[Any], None]:
    """Return what puts a model's three layers in `places`, as accelerate does, and the rest in the first."""

    def place(model: Any) -> None:
        decoder = model.get_decoder()
        rest = [decoder.embed_tokens, decoder.rotary_emb, decoder.norm, model.get_output_embeddings()]
        for module, device in [
            *zip(decoder.layers, places, strict=True),
            *((part, places[0]) for part in rest),
        ]:
            if device == FAR:
                send(module)
            add_hook_to_module(module, AlignDevicesHook(execution_device=device, place_submodules=False))

    return place


def _offloaded(model: Any) -> None:
    cpu_offload(model, execution_device=FAR)


@pytest.mark.parametrize(("name", "method"), RUNS)
def test_a_model_on_another_device_gives_the_same_scores(name: str, method: str) -> None:
    expected = Attributor(tiny_model(name), None).attribute_many(IDS, TARGETS, THROUGH, method=method)
    with far_device():
        model = tiny_model(name)
        _everything_far(model)
        results = Attributor(model, None).attribute_many(IDS, TARGETS, THROUGH, method=method)
    _agree(results, expected)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "phi3"])
@pytest.mark.parametrize(
    "place",
    [_split(FAR, NEAR, FAR), _split(NEAR, FAR, FAR), _offloaded],
    ids=["far-near-far", "near-far-far", "offloaded"],
)
def test_a_model_spread_over_two_devices_gives_the_same_scores(
    name: str, place: Callable[[Any], None]
) -> None:
    near = Attributor(tiny_model(name), None)
    rows = np.arange(15, 40)
    for method in ("walk", "flashtrace"):
        expected = near.attribute_many(IDS, TARGETS, THROUGH, method=method)
        with far_device():
            model = tiny_model(name)
            place(model)
            far = Attributor(model, None)
            fresh = far.attribute_many(IDS, TARGETS, THROUGH, method=method)
            in_chunks = far.capture(IDS, rows, chunk=9)
            kept = far.attribute_many(IDS, TARGETS, THROUGH, method=method, capture=in_chunks)
        _agree(fresh, expected)
        _agree(kept, expected)


@pytest.mark.parametrize(
    "place", [_everything_far, _split(FAR, NEAR, FAR), _offloaded], ids=["far", "split", "offloaded"]
)
def test_generation_on_another_device_keeps_what_attribution_needs(place: Callable[[Any], None]) -> None:
    written = list(generate(tiny_model("qwen3"), IDS, max_new_tokens=6))
    with far_device():
        model = tiny_model("qwen3")
        place(model)
        assert list(generate(model, IDS, max_new_tokens=6, keep=True)) == written
        capture = kept_captures(model).get(IDS + written)
        assert capture is not None
        assert isinstance(capture.layers[0].key, FarTensor)
        results = Attributor(model, None).attribute_many(IDS + written, [Span(40, 46)], [None])
    expected = Attributor(tiny_model("qwen3"), None).attribute_many(IDS + written, [Span(40, 46)], [None])
    _agree(results, expected)


def test_the_far_device_refuses_what_a_gpu_would() -> None:
    with far_device():
        there = torch.ones(3, device=FAR)
        assert (there + 1).tolist() == [2.0, 2.0, 2.0]
        assert there[torch.tensor([0, 1])].device == FAR
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="two devices"):
            torch.ones(3)[torch.tensor([0], device=FAR)]
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()


def _agree(results: list[Any], expected: list[Any]) -> None:
    for result, known in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.scores, known.scores, rtol=1e-4, atol=1e-5 * known.scores.max())
