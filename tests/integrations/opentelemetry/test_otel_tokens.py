"""Recorded spans to token ids with the model's own template: both counts agree, or the reason says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from otel_recordings import INSTRUMENTATIONS, SCENARIOS, run_spans

from flashtrace_agent.integrations.opentelemetry.assembly import assemble
from flashtrace_agent.integrations.servers import LocalTemplate, recover
from flashtrace_agent.trace import Fidelity, Step

WITHOUT_REASONING = {"genai_langchain", "genai_openai", "openai_v2"}
"""They drop it, and a completion without its reasoning is not what the model wrote."""


def recovered(name: str, scenario: str, tokenizer: Any) -> list[Step]:
    by_trace: dict[str, list[Any]] = {}
    for span in run_spans(name, scenario):
        by_trace.setdefault(span.trace_id, []).append(span)
    steps = [step for trace in map(assemble, by_trace.values()) if trace for step in trace.steps]
    source = LocalTemplate(tokenizer)
    return [recover(step, source) for step in steps if step.kind == "model" and step.output]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", INSTRUMENTATIONS)
def test_every_step_is_rendered_where_the_instrumentation_carries_all_of_it(
    recordings: Path, qwen_tokenizer: Any, name: str, scenario: str
) -> None:
    """Prompt and completion, tools and reasoning, to the reported number of tokens."""
    if not list((recordings / name).glob(f"{scenario}.*")):
        pytest.skip("this scenario was not recorded with it")
    steps = recovered(name, scenario, qwen_tokenizer)
    assert steps
    for step in steps:
        if not step.usage:
            assert "nobody reported" in step.fidelity_reason
        elif name not in WITHOUT_REASONING or scenario == "A2":  # there reasoning is a content block
            assert step.fidelity is Fidelity.RENDERED, step.fidelity_reason
            assert len(step.prompt_ids or ()) == step.usage["prompt_tokens"]
            assert len(step.completion_ids or ()) == step.usage["completion_tokens"]
        else:
            assert step.fidelity is Fidelity.APPROXIMATE
            assert f"{step.usage['completion_tokens']} were reported" in step.fidelity_reason
