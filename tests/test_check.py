"""Checks: what they conclude, and that they ask the model what they say they ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent import Attributor, Span
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.check import LEAST_DROP, Check, judge
from flashtrace_agent.errors import SequenceError
from flashtrace_agent.segment import Segment

from .engine.tiny_models import tiny_model
from .engine.tiny_tokenizer import tiny_tokenizer

DROPS = st.lists(st.floats(-5, 5), min_size=1, max_size=20).map(tuple)


@given(st.floats(-5, 30), DROPS)
def test_verdicts_follow_the_numbers(top: float, drops: tuple[float, ...]) -> None:
    check = judge("tokens", 3, 30, "target", top, drops)
    assert 0 <= check.low <= check.high
    assert Check.from_dict(check.to_dict()) == check
    if check.verdict == "strong":
        assert top > max(drops)
        assert check.low >= 2
    if top < LEAST_DROP:
        assert check.verdict == "none"
    assert check.verdict in check.sentence()


def test_a_clear_case_of_each_verdict() -> None:
    assert judge("tokens", 3, 30, "target", 6.0, (0.1, 0.2, 0.3)).verdict == "strong"
    assert judge("tokens", 3, 30, "target", 0.6, (0.1, 0.2, 0.9)).verdict == "weak"
    assert judge("tokens", 3, 30, "target", 0.2, (0.1, 0.2, 0.9)).verdict == "none"


def attributed(model: Any) -> tuple[Attributor, Attribution]:
    attributor = Attributor(model, tiny_tokenizer())
    ids = [int(token) for token in np.random.default_rng(5).integers(3, 128, size=40)]
    return attributor, attributor.attribute(ids, Span(36, 40), Span(30, 36))


def test_a_check_reads_the_log_probability_with_and_without_the_top_tokens() -> None:
    model = tiny_model("llama")
    attributor, result = attributed(model)
    checked = result.check(attributor, draws=3)
    assert result.checked is None
    assert checked.checked is not None
    assert checked.checked.measured == "target and reasoning"
    assert checked.checked.removed == 3

    def log_prob(removed: set[int]) -> float:
        ids = [0 if at in removed else int(token) for at, token in enumerate(result.input_ids)]
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return float(sum(table[at - 1, ids[at]] for at in range(30, 40)))

    top = {token.position for token in result.top(3)}
    assert checked.checked.top_drop == pytest.approx(log_prob(set()) - log_prob(top), abs=1e-3)
    assert Attribution.from_dict(checked.to_dict()).checked == checked.checked
    assert result.check(attributor, draws=3).checked == checked.checked


def test_segments_are_removed_whole_and_the_template_stays() -> None:
    attributor, result = attributed(tiny_model("qwen3"))
    names = ("template", "system", "user", "tool_result:1", "template")
    cuts = (0, 4, 12, 20, 30, 40)
    segments = tuple(Segment(name, Span(*cuts[at : at + 2])) for at, name in enumerate(names))
    checked = replace(result, segments=segments).check(attributor, unit="segments").checked
    assert checked is not None
    assert (checked.unit, checked.removed, checked.pool, len(checked.random_drops)) == ("segments", 1, 3, 2)
    with pytest.raises(SequenceError, match="Fewer than 3 segments"):
        replace(result, segments=segments[:2]).check(attributor, unit="segments")
    everything = (Segment("template", Span(0, 40)),)
    with pytest.raises(SequenceError, match="Fewer than 4 tokens"):
        replace(result, segments=everything).check(attributor)
