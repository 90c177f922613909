"""Ablation against removing pieces by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.methods.ablation import LONGEST_PIECE, removal_drops, source_pieces
from flashtrace_agent.engine.request import make_request
from flashtrace_agent.errors import SequenceError
from flashtrace_agent.span import Span

from .test_against_oracle import ANSWER, REASONING, token_ids
from .tiny_models import tiny_model
from .tiny_tokenizer import tiny_tokenizer


def _log_probs(model: Any, ids: list[int]) -> np.ndarray:
    """Return log p of every token but the first, from one plain forward, float64 (N − 1,)."""
    with torch.no_grad():
        table = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return np.array([float(table[i - 1, ids[i]]) for i in range(1, len(ids))])


def test_a_pieces_drop_is_what_removing_it_costs() -> None:
    model, ids = tiny_model("qwen3"), token_ids()
    pieces = [Span(0, 5), Span(5, 12), Span(12, 13)]
    drops = removal_drops(model, ids, pieces, make_request(len(ids), ANSWER, REASONING))
    text = ids[: ANSWER.end]
    whole = _log_probs(model, text)[-len(ANSWER) :].sum()
    without = [_log_probs(model, text[: p.start] + text[p.end :])[-len(ANSWER) :].sum() for p in pieces]
    np.testing.assert_allclose(drops, whole - np.array(without), atol=1e-3)


def test_a_target_in_two_parts_may_lose_what_lies_between() -> None:
    model, ids = tiny_model("llama"), token_ids()
    request = make_request(len(ids), [Span(20, 24), Span(30, 33)], None)
    (drop,) = removal_drops(model, ids, [Span(24, 30)], request)
    whole = _log_probs(model, ids)  # entry i is token i + 1
    shorter = _log_probs(model, ids[:24] + ids[30:33])
    expected = whole[19:23].sum() + whole[29:32].sum() - shorter[19:26].sum()
    assert drop == pytest.approx(expected, abs=1e-3)


@given(st.lists(st.booleans(), min_size=1, max_size=120), st.data())
def test_pieces_cover_the_sources_and_nothing_else(sources: list[bool], data: st.DataObject) -> None:
    ends = data.draw(st.lists(st.booleans(), min_size=len(sources), max_size=len(sources)))
    pieces = source_pieces(np.array(sources), ends)
    covered = [position for piece in pieces for position in range(piece.start, piece.end)]
    assert covered == [position for position, source in enumerate(sources) if source]
    for piece in pieces:
        assert 1 <= len(piece) <= LONGEST_PIECE
        assert not any(ends[piece.start : piece.end - 1])


def test_a_target_nothing_precedes_is_refused() -> None:
    ids = token_ids()
    with pytest.raises(SequenceError, match="later target"):
        Attributor(tiny_model("llama"), tiny_tokenizer()).attribute(ids, Span(1, 3), method="ablation")
