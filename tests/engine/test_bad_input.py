"""What cannot be attributed gets one sentence, and leaves the model as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, GraniteConfig

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.methods import METHODS
from flashtrace_agent.errors import FlashTraceError, SequenceError, UnsupportedModelError
from flashtrace_agent.span import Span

from .test_against_oracle import ANSWER, token_ids
from .tiny_models import CONFIGS, tiny_model
from .tiny_tokenizer import tiny_tokenizer

IDS = list(range(3, 43))


@pytest.fixture
def attributor() -> Attributor:
    return Attributor(tiny_model("llama"), tiny_tokenizer())


@pytest.mark.parametrize(
    ("target", "through", "words"),
    [
        (Span(30, 50), None, "out of range"),
        (Span(30, 30), None, "empty"),
        ([], None, "empty"),
        (Span(20, 30), Span(25, 35), "overlap at token 25"),
        (Span(20, 30), Span(32, 35), "comes after the target"),
        (Span(20, 30), Span(5, 60), "reasoning 5:60 is out of range"),
        (Span(0, 5), None, "No source token"),
        (Span(20, 30), Span(0, 20), "No source token"),
        (np.zeros(40), None, "All target weights are zero"),
        (np.ones(39), None, "one weight a token"),
        (np.full(40, np.nan), None, "finite"),
        (-np.ones(40), None, "not negative"),
        ((20, 30), None, r"give spans, as in Span\(3, 7\)"),
        (slice(20, 30), None, "is no target; give spans"),
        ("answer", None, "'answer' is no target"),
        (5, None, "give spans"),
        (Span(20, 30), (5, 9), r"\(5, 9\) is no reasoning"),
    ],
)
def test_spans_that_make_no_sense(attributor: Attributor, target: Any, through: Any, words: str) -> None:
    with pytest.raises(SequenceError, match=words):
        attributor.attribute(IDS, target, through)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], "no token ids"),
        ([3, 4, 128, 5], "Token 2 has id 128, outside the model's vocabulary of 128"),
        ([3, -1], "outside the model's vocabulary"),
        ([3] * 513, "513 tokens, but the model's context is 512"),
        (torch.ones(2, 20, dtype=torch.long), "one-dimensional"),
        ([0.5, 1.5], "must be integers"),
        (torch.ones(20, dtype=torch.bfloat16), "must be integers"),
        ([[1, 2], [3]], "one sequence"),
    ],
)
def test_ids_the_model_cannot_take(attributor: Attributor, ids: Any, words: str) -> None:
    with pytest.raises(SequenceError, match=words):
        attributor.attribute(ids, Span(1, 2))


def test_a_stretched_rotary_embedding_holds_more_than_the_model_was_trained_for() -> None:
    """Qwen2.5 and Qwen3 are stretched by a line in their configuration; `max_position_embeddings` stays."""
    config = CONFIGS["qwen2"]()
    config.rope_parameters |= {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 128,
    }
    config.max_position_embeddings = 128
    stretched = Attributor(AutoModelForCausalLM.from_config(config), tiny_tokenizer())
    assert stretched.attribute([3] * 512, Span(500, 510)).scores.sum() == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(SequenceError, match="513 tokens, but the model's context is 512"):
        stretched.attribute([3] * 513, Span(500, 510))


def test_a_capture_of_a_longer_sequence_is_refused(attributor: Attributor) -> None:
    capture = attributor.capture(IDS, np.arange(len(IDS)))
    with pytest.raises(SequenceError, match="capture holds 40 tokens, but the sequence has 30"):
        attributor.attribute(IDS[:30], Span(20, 25), capture=capture)


def test_every_target_needs_its_own_reasoning(attributor: Attributor) -> None:
    with pytest.raises(SequenceError, match="2 targets but the reasoning of 1"):
        attributor.attribute_many(IDS, [Span(20, 30), Span(30, 40)], [None])


def test_reversed_and_negative_spans_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="reversed"):
        Span(5, 3)
    with pytest.raises(ValueError, match="before token 0"):
        Span(-1, 3)


def test_an_unknown_method_lists_those_there_are(attributor: Attributor) -> None:
    with pytest.raises(FlashTraceError, match="choose one of auto, walk, flashtrace"):
        attributor.attribute(IDS, Span(30, 40), method="magic")


def test_an_unsupported_architecture_is_named() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=128))
    with pytest.raises(UnsupportedModelError, match="GPT2LMHeadModel"):
        Attributor(model, tiny_tokenizer())


def test_an_unsupported_model_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    GraniteConfig(architectures=["GraniteForCausalLM"]).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"GraniteForCausalLM \(model_type 'granite'\)"):
        Attributor.from_pretrained(str(tmp_path))


def test_a_missing_module_is_named() -> None:
    model = tiny_model("llama")
    del model.model.layers
    with pytest.raises(UnsupportedModelError, match="'layers'"):
        Attributor(model, tiny_tokenizer())


@pytest.mark.parametrize("method", METHODS)
def test_nan_activations_are_refused(attributor: Attributor, method: str) -> None:
    with torch.no_grad():
        attributor.model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(SequenceError, match=r"NaN.* bfloat16 or float32"):
        attributor.attribute(token_ids(), ANSWER, method=method)


def test_the_model_is_bit_identical_afterwards_even_when_the_forward_raises(
    attributor: Attributor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids = attributor.model, torch.tensor([IDS])
    with torch.no_grad():
        before = model(ids).logits
    attributor.attribute(IDS, Span(30, 40), Span(20, 30))
    broken = model.model.layers[1].mlp
    with monkeypatch.context() as patch:
        patch.setattr(broken, "forward", lambda *_: (_ for _ in ()).throw(RuntimeError("out of order")))
        with pytest.raises(RuntimeError, match="out of order"):
            attributor.attribute(IDS, Span(30, 40))
    with torch.no_grad():
        after = model(ids).logits
    assert torch.equal(before, after)
    assert model.config._attn_implementation == "sdpa"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_target_that_nothing_reaches_scores_zero_and_is_never_nan() -> None:
    """With values of zero no token moves the residual stream: the scores are zero, not 0/0."""
    model = tiny_model("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.v_proj.weight.zero_()
    result = Attributor(model, tiny_tokenizer()).attribute(IDS, Span(30, 40), Span(20, 30))
    assert not result.scores.any()
