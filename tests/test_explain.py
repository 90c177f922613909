"""A step that cannot be explained says why."""

from __future__ import annotations

from typing import Any

import pytest

from flashtrace_agent import Attributor
from flashtrace_agent.errors import TargetError
from flashtrace_agent.explain import explain_step
from flashtrace_agent.message import Message
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step, utc_now

from .engine.tiny_models import tiny_model
from .engine.tiny_tokenizer import tiny_tokenizer


def step(**fields: Any) -> Step:
    defaults: dict[str, Any] = {
        "id": "s1",
        "trace_id": "t1",
        "kind": "model",
        "name": "m",
        "started_at": utc_now(),
    }
    return Step(**defaults | fields)


@pytest.fixture
def attributor() -> Attributor:
    return Attributor(tiny_model("llama"), tiny_tokenizer())


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (step(kind="tool"), "only model steps"),
        (step(fidelity_reason="text only: the server gave none"), "no token ids .*the server gave none"),
        (step(prompt_ids=[5, 6, 7], completion_ids=[]), "empty completion"),
    ],
)
def test_what_is_missing_is_named(attributor: Attributor, broken: Step, words: str) -> None:
    with pytest.raises(TargetError, match=words):
        explain_step(attributor, broken)


def test_a_target_passes_through_everything_written_before_it(attributor: Attributor) -> None:
    """The shares speak of the prompt: no mass is left on the model's own words."""
    ids = list(range(3, 40))
    recorded = step(prompt_ids=ids[:20], completion_ids=ids[20:], input=[Message("user", "x")])
    (result,) = explain_step(attributor, recorded, ["30:34"])
    assert result.target == (Span(30, 34),)
    assert result.through == (Span(20, 30),)
    assert float(result.scores[20:].sum()) == 0.0
    assert len(result.hops) == 2
