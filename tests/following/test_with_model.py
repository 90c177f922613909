"""The real agent on its real model, traced back through its steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from flashtrace_agent import Attributor, Trace
from flashtrace_agent.demo.agent import build_agent, worked_examples
from flashtrace_agent.following import choose_step_of
from flashtrace_agent.following.with_model import explain_trajectory
from flashtrace_agent.integrations.langchain import ChatTransformers, FlashTraceCallbackHandler
from flashtrace_agent.store import Store

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def asked(default_model: Attributor, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Return a run of the demo's agent: a call, its result, and an answer."""
    chat = ChatTransformers(model=default_model.model, tokenizer=default_model.tokenizer, max_new_tokens=96)
    url = f"sqlite:///{tmp_path_factory.mktemp('run') / 'traces.db'}"
    handler = FlashTraceCallbackHandler(store=url)
    config: Any = {"callbacks": [handler], "recursion_limit": 4}
    question = HumanMessage("What does a lamp cost?")
    build_agent(chat).invoke({"messages": [*worked_examples(), question]}, config=config)
    handler.close()
    with Store(url, create=False) as store:
        return store.get_trace(store.list_traces()[0].id)


def test_mass_is_kept_from_the_answer_to_the_first_step(asked: Trace, default_model: Attributor) -> None:
    """Every end is something nobody in the run wrote, and every message was recognized."""
    step = choose_step_of(asked)
    visited: list[str] = []
    found = explain_trajectory(default_model, asked, step, on_step=lambda each: visited.append(each.id))
    assert found.target_name == "answer"
    models = [each.id for each in asked.steps if each.kind == "model"]
    assert visited == models[::-1] == list(found.steps)
    assert found.imbalance() < 1e-6
    ends = {node.kind for node in found.ends()}
    assert ends == {"system", "tool_schema", "example", "user", "tool_result", "template"}
    (result,) = (node for node in found.nodes if node.kind == "tool_result")
    assert result.step == next(each.id for each in asked.steps if each.kind == "tool")
    assert sum(node.choice for node in found.reasons()) == pytest.approx(result.mass, abs=1e-6)
    call = next(node for node in found.nodes if node.kind == "tool_call")
    assert (call.label, call.step) == ("tool_call:get_price", models[0])
    assert "lamp" in call.text


def test_what_another_model_wrote_is_an_end(asked: Trace, default_model: Attributor) -> None:
    """Its token ids mean other words here."""
    first, *later = asked.steps
    mixed = replace(asked, steps=[replace(first, model="another"), *later])
    found = explain_trajectory(default_model, mixed, choose_step_of(mixed))
    assert found.steps == (asked.steps[-1].id,)
    assert found.imbalance() < 1e-6
    (note,) = {node.note for node in found.nodes if node.step == first.id}
    assert f"Step {first.id} was written by another and not by {first.model}" in note


def test_a_call_of_the_first_step_ends_in_its_own_prompt(asked: Trace, default_model: Attributor) -> None:
    found = explain_trajectory(default_model, asked, asked.steps[0], "argument:item")
    assert found.text == "lamp"
    assert found.imbalance() < 1e-6
    assert len(found.steps) == 1
