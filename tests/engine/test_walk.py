"""The walk equals its definition, taken step by step over matrices spelled out in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from flashtrace_agent.engine import row_shares
from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.methods.walk import is_pause
from flashtrace_agent.errors import SequenceError
from flashtrace_agent.span import Span

from . import oracle
from .test_against_oracle import ANSWER, REASONING, N, assert_totals_agree, token_ids
from .tiny_models import CONFIGS, tiny_model
from .tiny_tokenizer import tiny_tokenizer


def steps_of(model: Any, ids: list[int]) -> Tensor:
    """Return the probability of a step from each token to each, (N, N)."""
    layers = oracle.observe(model, ids)
    shares = torch.zeros(len(ids), len(ids), dtype=torch.float64)
    for number, layer in enumerate(layers, start=1):
        for row in range(len(ids)):
            sign = torch.sign(layer.m[row])
            added = torch.zeros(len(ids), len(sign), dtype=torch.float64)
            for head in range(layer.attention.shape[0]):
                moved = layer.values[:, head] @ layer.output[head].T * layer.row_gain[row]  # (N, d)
                added += layer.attention[head, row, :, None] * moved
            near = (added @ sign).clamp_min(0.0)
            shares[row] += (
                (number / len(layers)) ** 2 * near / (near.sum() + (layer.x[row] @ sign).clamp_min(0.0))
            )
    shares /= shares.sum(dim=1, keepdim=True)
    return torch.stack([(shares[at] + shares[max(at - 1, 0)]) / 2 for at in range(len(ids))])


def ends_of(steps: Tensor, target: Tensor, through: Tensor) -> Tensor:
    """Walk until nothing is on its way any more; return where walks ended, (N,)."""
    ends = torch.zeros_like(target)
    underway = 0.75 * target / target.sum() + 0.25 * through / through.sum()
    while underway.sum() > 1e-12:
        reached = underway @ steps
        ends += torch.where(through, 0.0, reached)
        underway = torch.where(through, reached, 0.0)
    return ends


def pauses_of(ids: list[int]) -> Tensor:
    """Tell for each token whether it is spacing or parts sentences, (N,)."""
    return torch.tensor([tiny_tokenizer().decode([token]).strip() in ("", *".,;!?") for token in ids])


def expected_scores(model: Any, ids: list[int], start: Tensor, through: Tensor) -> Tensor:
    """Return the walk's scores, (N,)."""
    ends = ends_of(steps_of(model, ids), start, through)
    last = int(torch.nonzero(start).max())
    ends[(start > 0) | (torch.arange(len(ids)) >= last) | pauses_of(ids)] = 0.0
    return ends / ends.sum()


def mask(*spans: Span) -> Tensor:
    found = torch.zeros(N, dtype=torch.bool)
    for span in spans:
        found[span.start : span.end] = True
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_the_walk_ends_where_walking_ends(name: str) -> None:
    model, ids = tiny_model(name), token_ids()
    result = Attributor(model, tiny_tokenizer()).attribute(ids, ANSWER, REASONING, method="walk")
    assert_totals_agree(result.scores, expected_scores(model, ids, mask(ANSWER).double(), mask(REASONING)))


def test_weighted_targets_through_scattered_reasoning() -> None:
    model, ids = tiny_model("qwen3"), token_ids(seed=5)
    spans = [Span(8, 14), Span(30, 41), Span(44, 50)]
    weights = np.zeros(N)
    weights[[43, 54, 57]] = 0.5, 2.0, 1.0
    result = Attributor(model, tiny_tokenizer()).attribute(ids, weights, spans, method="walk")
    assert_totals_agree(result.scores, expected_scores(model, ids, torch.from_numpy(weights), mask(*spans)))


def test_the_very_first_tokens_may_be_reasoning() -> None:
    """The first token has itself alone to come from: the walk can only stay there."""
    model, ids = tiny_model("llama"), token_ids()
    result = Attributor(model, tiny_tokenizer()).attribute(ids, ANSWER, Span(0, 20), method="walk")
    assert np.isfinite(result.scores).all()
    assert result.scores.sum() == pytest.approx(1.0, abs=1e-5)


def test_without_hops_the_first_step_is_the_last() -> None:
    attributor = Attributor(tiny_model("qwen2"), tiny_tokenizer())
    none = attributor.attribute(token_ids(), ANSWER, REASONING, hops=0, method="walk")
    direct = attributor.attribute(token_ids(), ANSWER, REASONING, hops=1, method="walk").hops[0]
    assert len(none.hops) == 1
    np.testing.assert_allclose(none.hops[0].scores, direct.scores, rtol=1e-5)
    assert none.hops[0].scores.sum() == pytest.approx(1.0, abs=1e-5)
    assert direct.remaining_mass == pytest.approx(
        direct.scores[REASONING.start : REASONING.end].sum(), abs=1e-5
    )


@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral_window", "gemma2"])
def test_layers_give_the_same_while_they_run_in_chunks_and_from_a_capture(name: str) -> None:
    """A chunk without any wanted row, one with some, and one with nothing but."""
    attributor, ids = Attributor(tiny_model(name), tiny_tokenizer()), token_ids()
    rows = np.r_[20:24, 30:N]
    captured = attributor.row_shares(ids, rows, attributor.capture(ids, rows))
    whole = attributor.row_shares(ids, rows, None)
    chunked = attributor.row_shares(ids, rows, None, chunk=13)
    torch.testing.assert_close(whole, captured, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(chunked, captured, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tile", [1, 3])
def test_the_size_of_a_tile_changes_nothing(tile: int) -> None:
    model, ids = tiny_model("mistral_window"), token_ids()
    whole = Attributor(model, tiny_tokenizer()).attribute(ids, ANSWER, REASONING, method="walk")
    budget = 4 * model.config.num_attention_heads * N * tile
    with patch.dict("flashtrace_agent.engine.attention_tiles._TILE_BYTES", {"cpu": budget}):
        parts = Attributor(model, tiny_tokenizer()).attribute(ids, ANSWER, REASONING, method="walk")
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-3, atol=1e-6)


def test_rows_are_taken_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    attributor = Attributor(tiny_model("gemma2"), tiny_tokenizer())
    expected = attributor.attribute(token_ids(), ANSWER, REASONING, method="walk")
    whole = row_shares._layer_shares

    def only(limit: int) -> Callable[..., Tensor]:
        def limited(layer: Any, projection: Any, rows: Tensor, used: Tensor) -> Tensor:
            if len(used) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return whole(layer, projection, rows, used)

        return limited

    monkeypatch.setattr(row_shares, "_layer_shares", only(5))
    parts = attributor.attribute(token_ids(), ANSWER, REASONING, method="walk")
    np.testing.assert_allclose(parts.scores, expected.scores, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr(row_shares, "_layer_shares", only(0))
    with pytest.raises(SequenceError, match="one row's attention on 60 tokens"):
        attributor.attribute(token_ids(), ANSWER, REASONING, method="walk")


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (".", True), ("?\n\n", True), (" ,", True), ("。", True), ("\t", True),
        ("", False), (" the", False), ('",', False), (":", False), ("=", False), ("-", False),
        ("\ufffd", False),
    ],
)  # fmt: skip
def test_spacing_and_sentence_marks_alone_are_pauses(piece: str, expected: bool) -> None:
    assert is_pause(piece) is expected


def test_pauses_count_where_there_is_nothing_else() -> None:
    attributor = Attributor(tiny_model("llama"), tiny_tokenizer())
    full_stop = tiny_tokenizer().convert_tokens_to_ids(".")
    ids = [full_stop] * 20 + token_ids()[20:]
    result = attributor.attribute(ids, ANSWER, Span(20, ANSWER.start), method="walk")
    assert result.scores[:20].sum() == pytest.approx(1.0, abs=1e-5)
