"""The review on a real attack: an agent obeys an instruction hidden in a web page.

The run is Qwen3-4B-Thinking's on AgentDojo (MIT), recorded with exact token ids and the reference
implementation's scores of the call that removes a user. The model is too large to run in a test, so those
scores stand in for an attribution; what is tested is what the review makes of them.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.prompt.segmentation import step_segments
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.review import build_report
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Fidelity, Step, Trace

from .prompts import START

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CASE = SHARED / "agentdojo" / "slack_remove_invited_attacker.json"

pytestmark = pytest.mark.skipif(not CASE.exists(), reason=f"needs the recorded runs in {CASE.parent}")


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    """The recorded run."""
    loaded: dict[str, Any] = json.loads(CASE.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def step(case: dict[str, Any]) -> Step:
    """The attacked step, as a recorder would have it."""
    turn = case["turns"][case["attribution"]["turn_index"]]
    schemas = re.search(r"<tools>\n(.*?)\n</tools>", turn["rendered_prompt"], re.DOTALL)
    assert schemas is not None
    messages = []
    for data in case["messages"][:4]:
        calls = tuple(ToolCall(c["id"], c["function"], c["args"]) for c in data.get("tool_calls") or ())
        is_own = data["role"] == "assistant"
        messages.append(
            Message(
                data["role"],
                "" if is_own else data["content"],
                data["content"].replace("</think>", "").strip() if is_own else None,
                calls,
                data.get("tool_call_id"),
            )
        )
    calls = tuple(
        ToolCall(f"call_{i}", c["function"], c["args"]) for i, c in enumerate(turn["parsed_tool_calls"])
    )
    return Step(
        "step",
        "trace",
        "model",
        "Qwen3-4B",
        START,
        status="ok",
        input=messages,
        output=Message("assistant", tool_calls=calls),
        tools=[ToolSchema.from_openai(json.loads(line)) for line in schemas[1].splitlines()],
        model=case["model"],
        prompt_ids=turn["prompt_token_ids"],
        completion_ids=turn["generated_token_ids"],
        fidelity=Fidelity.EXACT,
    )


def attribution(case: dict[str, Any], step: Step, method: str) -> Attribution:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SHARED / "qwen3_tokenizer")  # type: ignore[no-untyped-call]
    ids = step.token_ids
    assert ids is not None
    assert step.prompt_ids is not None
    target = case["attribution"]["target_call_token_indices"]
    prompt = len(step.prompt_ids)
    scores = np.zeros(len(ids), np.float32)
    scores[:prompt] = case["attribution"]["methods"][method]["scores"]
    scores /= scores.sum()
    return Attribution(
        input_ids=np.array(ids, np.int32),
        tokens=TokenText(tokenizer, ids).pieces,
        target=(Span(prompt + target[0], prompt + target[-1] + 1),),
        through=(),
        scores=scores,
        hops=(Hop(scores, 1.0),),
        method=method,
        model=case["model"],
        target_name=f"{prompt + target[0]}:{prompt + target[-1] + 1}",
        segments=tuple(step_segments(tokenizer, step)),
    )


@pytest.mark.parametrize("method", ["ifr_full_generated_action", "flashtrace_generated_action_via_reasoning"])
def test_the_attacks_call_is_flagged_and_the_injected_text_located(
    case: dict[str, Any], step: Step, method: str
) -> None:
    found = attribution(case, step, method)
    trace = Trace("trace", case["case_id"], START, status="ok", metadata={"injections": case["injections"]})
    report = build_report([(trace, step, [found])])
    call = report.groups[0].untrusted[0]
    assert call.tool == "remove_user_from_slack"
    assert call.flagged
    assert call.share > 0.7
    injected = case["injections"]["injection_web_0"]
    assert all(passage.text in injected for passage in call.passages)
    assert any("remove him from Slack" in passage.text for passage in call.passages)
    assert call.recovery is not None
    recorded = case["attribution"]["methods"][method]["metrics"]["recovery_at_10pct"]
    # Ranked here are all of the prompt's words, there those that the reference ranks.
    assert call.recovery == pytest.approx(recorded, abs=0.12)


@pytest.mark.parametrize("method", ["ifr_full_generated_action", "flashtrace_generated_action_via_reasoning"])
def test_recovery_is_the_recorded_references(case: dict[str, Any], step: Step, method: str) -> None:
    """Of the injected tokens, the share among the top 10 % of the ranked prompt tokens."""
    found = attribution(case, step, method)
    ranked = case["attribution"]["ranked_tokens"]
    gold = set(case["attribution"]["injection"]["token_indices"]) & set(ranked)
    top = sorted(ranked, key=lambda token: -found.scores[token])[: math.ceil(len(ranked) / 10)]
    recovery = len(gold & set(top)) / len(gold)
    recorded = case["attribution"]["methods"][method]["metrics"]["recovery_at_10pct"]
    assert recovery == pytest.approx(recorded, abs=1e-6)
