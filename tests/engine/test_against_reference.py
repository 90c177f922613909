"""The engine agrees with the reference package where that is correct: Llama, span target, eager attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.span import Span

from .tiny_models import tiny_model
from .tiny_tokenizer import tiny_tokenizer

reference_core = pytest.importorskip("flashtrace.core", reason="needs the extra [bench]: flashtrace==0.1.1")


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_hops_agree_with_flashtrace_0_1_1(name: str) -> None:
    """Both packages' float32 totals of every hop, on the same ids and spans."""
    from flashtrace.attribution import LLMIFRAttribution

    model, n = tiny_model(name), 60
    reasoning, answer = Span(30, 54), Span(54, 60)
    ids = torch.randint(3, 128, (n,), generator=torch.Generator().manual_seed(1))
    ours = Attributor(model, tiny_tokenizer()).attribute(ids, answer, reasoning, hops=2, method="flashtrace")

    eager = tiny_model(name)
    eager.set_attn_implementation("eager")
    engine = LLMIFRAttribution(eager, tiny_tokenizer())
    cache, attentions, metadata, weights = engine._capture_model_state(ids[None], torch.ones(1, n))
    theirs = reference_core.compute_multi_hop_ifr(
        sink_start=answer.start,
        sink_end=answer.end - 1,
        thinking_span=(reasoning.start, reasoning.end - 1),
        n_hops=2,
        cache=cache,
        attentions=attentions,
        weight_pack=weights,
        params=engine._build_ifr_params(metadata, n),
    )
    for hop, expected in zip(ours.hops, theirs.raw_attributions, strict=True):
        totals = expected.token_importance_total.numpy()
        np.testing.assert_allclose(hop.scores, totals, atol=1e-3 * float(totals.max()))
    for hop, ratio in zip(ours.hops, theirs.thinking_ratios, strict=True):
        assert hop.remaining_mass == pytest.approx(ratio, rel=1e-3)
