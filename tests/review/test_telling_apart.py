"""The check's limits on another prompt than the demo's: do they tell needed lines from idle ones?

A real agent on the default model answers questions from its system prompt. Three lines hold what is asked
for; three say nothing that any question needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent

from flashtrace_agent.integrations.langchain import ChatTransformers, FlashTraceCallbackHandler
from flashtrace_agent.review import build_report
from flashtrace_agent.review.ablation import Ablator
from flashtrace_agent.review.dead_weight import Candidate, DeadWeight
from flashtrace_agent.store import Store

pytestmark = [pytest.mark.model, pytest.mark.slow]

NEEDED = {
    "The shop opens at nine in the morning.": (
        "When does the shop open?",
        "At what time does the shop open?",
    ),
    "A sofa is delivered within twelve days.": ("How fast is a sofa delivered?", "When is a sofa delivered?"),
    "Parking costs three euros.": ("What does parking cost?", "How much is parking?"),
}
IDLE = (
    "The walls were painted green in the spring.",
    "Staff notices hang beside the back door.",
    "These lines were last read by the night shift.",
)


def test_a_line_that_is_asked_for_is_never_called_removable(default_model: Any, tmp_path: Path) -> None:
    lines = [line for pair in zip(NEEDED, IDLE, strict=True) for line in pair]
    system = "\n".join(["Answer in one short sentence.", *lines])
    chat = ChatTransformers(model=default_model.model, tokenizer=default_model.tokenizer, max_new_tokens=32)
    agent = create_agent(chat, [], system_prompt=system)
    with Store(f"sqlite:///{tmp_path / 'traces.db'}") as store:
        handler = FlashTraceCallbackHandler(store, default_model, targets=["answer"])
        for questions in NEEDED.values():
            for question in questions:
                agent.invoke({"messages": [("user", question)]}, config={"callbacks": [handler]})
        handler.flush(timeout=300)
        handler.close()
        group = build_report(store.attributed_steps()).groups[0]
    rows = {row.line.text: row for row in group.ledger}
    dead = DeadWeight(tuple(Candidate(rows[line]) for line in lines))
    checked = Ablator(default_model, sample=6).check(dead, group.observations)
    found = {one.row.line.text: one for one in checked.candidates}
    assert [found[line].verdict for line in NEEDED] == ["needed"] * 3
    # The others may be kept too: two answers are made up, and made-up answers turn with any edit.
    assert "removable" in [found[line].verdict for line in IDLE]
    worst = {line: one.ablation.worst_drop for line, one in found.items() if one.ablation is not None}
    assert min(worst[line] for line in NEEDED) > 4 * max(worst[line] for line in IDLE)
