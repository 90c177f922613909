"""Removing tokens, against asking for every single edit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from flashtrace_agent.eval import metrics
from flashtrace_agent.eval.deletion import Deletion
from flashtrace_agent.eval.evaluator import Effort, Shared, measure
from flashtrace_agent.eval.example import Example, cut_pieces
from flashtrace_agent.span import Span

from ..engine.tiny_models import tiny_model
from ..engine.tiny_tokenizer import tiny_tokenizer


def make_example() -> Example:
    rng = np.random.default_rng(3)
    ids = tuple(int(token) for token in rng.integers(3, 128, size=30))
    deletable = tuple(range(2, 22))
    pieces = tuple(deletable[at : at + 5] for at in range(0, 20, 5))
    return Example("made up", 0, ids, 24, (Span(27, 29),), (4, 9), deletable, pieces)


def asked_one_by_one(
    model: Any, example: Example, removed: tuple[int, ...] | list[int]
) -> tuple[float, float]:
    ids = [0 if at in set(removed) else token for at, token in enumerate(example.ids)]
    with torch.no_grad():
        table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    values = {at: float(table[at - 1, ids[at]]) for at in range(example.n_prompt, len(ids))}
    return values[27] + values[28], sum(values.values())


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_log_probs_are_the_models_own(name: str) -> None:
    model, example = tiny_model(name), make_example()
    deletion = Deletion(model, tiny_tokenizer(), example)
    for removed in ((), (5, 3), example.deletable):
        found = deletion.log_probs([removed])
        target, whole = asked_one_by_one(model, example, removed)
        assert found.target[0] == pytest.approx(target, abs=1e-3)
        assert found.whole[0] == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_a_curve_cut_short_has_the_same_rise_and_mas(seed: int) -> None:
    model, example = tiny_model("qwen3", seed), make_example()
    deletion = Deletion(model, tiny_tokenizer(), example)
    order = list(np.random.default_rng(seed).permutation(example.deletable))
    found = deletion.curve(order, 20)
    full = np.array([asked_one_by_one(model, example, order[:count]) for count in range(21)])
    left = metrics.mass_left(np.ones(24), order, 20)
    for at in (0, 1):
        assert metrics.rise(found[at]) == pytest.approx(metrics.rise(full[:, at]), abs=1e-3)
        assert metrics.mas(found[at], left) == pytest.approx(metrics.mas(full[:, at], left), abs=2e-3)


def test_scores_that_are_the_truth_correlate_perfectly_with_ablation() -> None:
    """Scores spread evenly over each piece's own ablation effect must rank the pieces as ablation does."""
    model = tiny_model("llama", 1)
    example = make_example()
    deletion = Deletion(model, tiny_tokenizer(), example)
    shared = Shared.ask(deletion, 8)
    effects = deletion.intact.whole[0] - shared.without.whole
    scores = np.zeros(len(example.ids))
    for piece, effect in zip(example.pieces, effects, strict=True):
        scores[list(piece)] = effect
    found = measure(deletion, shared, scores, Effort(examples=1, groups=10, subsets=8))
    if deletion.intact.whole[0] - deletion.emptied.whole[0] >= metrics.LEAST_CHANGE:
        assert found["ablation_g"] == pytest.approx(1.0)
    assert 0.0 <= found["template"] <= 1.0


def test_pieces_tile_the_deletable_tokens_and_end_at_sentences() -> None:
    tokens = ["One", " two", ".", " Three", "\n", "Four", " five", "!", " Six"]
    pieces = cut_pieces(tokens, [0, 1, 2, 3, 4, 6, 7, 8])
    assert pieces == ((0, 1, 2), (3, 4), (6, 7), (8,))
    joined = cut_pieces(tokens, [0, 1, 2, 3, 4, 6, 7, 8], most=2)
    assert len(joined) == 2
    assert [at for piece in joined for at in piece] == [0, 1, 2, 3, 4, 6, 7, 8]
