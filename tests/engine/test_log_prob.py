"""Teacher-forced log-probabilities against one plain float64 forward a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flashtrace_agent.engine import log_prob
from flashtrace_agent.engine.log_prob import force_tokens
from flashtrace_agent.errors import SequenceError

from .tiny_models import CONFIGS, tiny_model


def _plain(model: Any, ids: list[int], start: int) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        table = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    positions = range(start, len(ids))
    return (
        np.array([float(table[i - 1, ids[i]]) for i in positions]),
        np.array([int(table[i - 1].argmax()) == ids[i] for i in positions]),
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_edited_sequences_read_as_if_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of different lengths, with a prefix in common, in several batches."""
    monkeypatch.setattr(log_prob, "BATCH_TOKENS", 64)
    model = tiny_model(name)
    ids = torch.randint(3, 128, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    sequences = [ids, ids[:12] + ids[17:], [*ids[:20], 7, 7, 7, *ids[23:]], ids[:9] + ids[30:]]
    starts = [len(sequence) - 8 for sequence in sequences]
    for sequence, start, forced in zip(
        sequences, starts, force_tokens(model, sequences, starts), strict=True
    ):
        expected, greedy = _plain(model, sequence, start)
        np.testing.assert_allclose(forced.log_probs, expected, atol=2e-4)
        np.testing.assert_array_equal(forced.greedy, greedy)
        with torch.no_grad():
            best = model(torch.tensor([sequence])).logits[0, start - 1 : -1].double().sort(-1).values
        np.testing.assert_allclose(forced.leads, (best[:, -1] - best[:, -2]).numpy(), atol=2e-4)
        assert forced.total == pytest.approx(expected.sum(), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_starts_and_lengths(data: st.DataObject) -> None:
    model = _LLAMA
    sequences = data.draw(
        st.lists(st.lists(st.integers(3, 9), min_size=2, max_size=24), min_size=1, max_size=6)
    )
    starts = [data.draw(st.integers(1, len(ids) - 1)) for ids in sequences]
    for ids, start, forced in zip(sequences, starts, force_tokens(model, sequences, starts), strict=True):
        np.testing.assert_allclose(forced.log_probs, _plain(model, ids, start)[0], atol=2e-4)


def test_progress_counts_every_sequence() -> None:
    done: list[int] = []
    force_tokens(_LLAMA, [[3, 4, 5]] * 5, [1] * 5, tick=done.append)
    assert sum(done) == 5


@pytest.mark.parametrize("start", [0, 3, 9])
def test_a_start_without_tokens_is_refused(start: int) -> None:
    with pytest.raises(SequenceError, match=f"from token {start} of 3"):
        force_tokens(_LLAMA, [[3, 4, 5]], [start])


_LLAMA = tiny_model("llama")
