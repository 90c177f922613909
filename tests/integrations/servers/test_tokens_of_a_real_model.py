"""A real model's run: its text alone gives its ids back, and its weights tell them from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from flashtrace_agent.integrations.langchain import ChatTransformers, FlashTraceCallbackHandler
from flashtrace_agent.integrations.servers import LocalTemplate, check_log_probs, recover
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def recorded(default_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Step:
    """Return a greedy turn of the default model with its exact ids."""
    url = f"sqlite:///{tmp_path_factory.mktemp('real')}/traces.db"
    model = ChatTransformers(model=default_model.model, tokenizer=default_model.tokenizer, max_new_tokens=24)
    with FlashTraceCallbackHandler(url) as handler:
        asked = [SystemMessage("Be brief."), HumanMessage("Name a city in France.")]
        model.invoke(asked, config={"callbacks": [handler]})
    with Store(url) as store:
        return store.get_trace(store.list_traces()[0].id).steps[0]


def test_text_gives_back_the_exact_ids(recorded: Step, default_model: Any) -> None:
    """Rendered from messages and counts alone, they are those of the generating process."""
    assert recorded.fidelity is Fidelity.EXACT
    text = replace(recorded, prompt_ids=None, completion_ids=None, fidelity=Fidelity.APPROXIMATE)
    found = recover(text, LocalTemplate(default_model.tokenizer))
    assert (found.prompt_ids, found.completion_ids) == (recorded.prompt_ids, recorded.completion_ids)
    assert found.fidelity is Fidelity.RENDERED


def test_weights_tell_what_they_wrote_from_what_they_did_not(recorded: Step, default_model: Any) -> None:
    """Greedy text is the model's first choice throughout; the same ids in another order are not."""
    checked = check_log_probs(default_model.model, recorded)
    assert checked.fidelity is Fidelity.EXACT
    assert checked.settings["log_prob_check"]["greedy"] > 0.9
    assert checked.settings["log_prob_check"]["mean"] > -1.5
    backwards = replace(recorded, completion_ids=list(reversed(recorded.completion_ids or [])))
    doubted = check_log_probs(default_model.model, backwards)
    assert doubted.fidelity is Fidelity.APPROXIMATE
    assert doubted.settings["log_prob_check"]["mean"] < -3
