"""Every recorded run of every instrumentation, against what our own handler sees of the same run."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from otel_capabilities import table
from otel_recordings import (
    CHAT_ONLY,
    INSTRUMENTATIONS,
    LANGCHAIN,
    RECORDINGS,
    all_traces,
    run_spans,
    shifted,
    spans,
)

from flashtrace_agent.integrations.opentelemetry.assembly import assemble
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.message import Message
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace

DOCS = Path(__file__).resolve().parents[3] / "docs" / "opentelemetry.md"

WITHOUT_REASONING = {(name, scenario) for name in ("genai_langchain",) for scenario in "ABC"} | {
    (name, scenario) for name in CHAT_ONLY for scenario in "ABC"
}
WITHOUT_ERROR_TYPE = {"langfuse"}

pytestmark = pytest.mark.usefixtures("recordings")


def recorded(instrumentation: str, scenario: str) -> Trace:
    trace = assemble(run_spans(instrumentation, scenario))
    assert trace is not None
    return trace


def spoken(message: Message) -> dict[str, Any]:
    """Return a message of a history: without its name, and without reasoning, which is not re-sent."""
    return replace(message, name=None, reasoning=None).to_dict()


def content(trace: Trace, *, reasoning: bool, error_types: bool) -> list[dict[str, Any]]:
    """Return what a run did, without ids, times and names of model steps."""
    places = {step.id: place for place, step in enumerate(trace.steps)}
    return [_content(step, places, reasoning=reasoning, error_types=error_types) for step in trace.steps]


def _content(step: Step, places: dict[str, int], *, reasoning: bool, error_types: bool) -> dict[str, Any]:
    error = step.error if error_types else (step.error or "").removeprefix("LookupError: ") or None
    facts: dict[str, Any] = {
        "kind": step.kind,
        "parent": None if step.parent_id is None else places[step.parent_id],
        "status": step.status,
        "error": error,
    }
    if step.kind == "tool":
        return facts | {
            "name": step.name,
            "call": step.tool_call_id,
            "arguments": step.arguments,
            "result": step.result,
        }
    output = step.output
    assert output is not None
    return facts | {
        "input": [spoken(message) for message in step.input],
        "output": spoken(output),
        "reasoning": output.reasoning if reasoning else None,
        "tools": [tool.name for tool in step.tools],
        "model": step.model,
        "finish": step.finish_reason,
    }


@pytest.mark.parametrize(("instrumentation", "scenario"), RECORDINGS)
def test_run_is_the_one_our_handler_sees(
    instrumentation: str, scenario: str, expected: dict[str, Trace]
) -> None:
    """Same steps, messages, calls, results and errors, but for what the table says is not carried."""
    trace = recorded(instrumentation, scenario)
    wanted = expected[scenario]
    carried = {
        "reasoning": (instrumentation, scenario) not in WITHOUT_REASONING,
        "error_types": instrumentation not in WITHOUT_ERROR_TYPE,
    }
    found, truth = content(trace, **carried), content(wanted, **carried)
    if instrumentation in CHAT_ONLY and scenario == "D":
        truth = truth[:1]  # a tool that raises leaves no trace in the chats
    if instrumentation == "openai_v2":
        truth = [{**step, "tools": []} if step["kind"] == "model" else step for step in truth]
    assert found == truth
    if instrumentation in LANGCHAIN:
        assert (trace.name, trace.session) == (wanted.name, wanted.session)
        assert trace.status == wanted.status
        assert [step.usage for step in trace.steps] == [step.usage for step in wanted.steps]
        assert trace.ended_at is not None


@pytest.mark.parametrize(("instrumentation", "scenario"), RECORDINGS)
def test_rendered_prompt_has_the_reported_length(
    instrumentation: str, scenario: str, qwen_tokenizer: Any
) -> None:
    """Messages and tools are complete to the letter: the prompt has exactly the reported tokens."""
    for step in recorded(instrumentation, scenario).steps:
        if "prompt_tokens" not in step.usage:
            assert step.kind == "tool" or scenario == "D"
            continue
        rendered = len(render_prompt(qwen_tokenizer, step.input, step.tools).ids)
        if instrumentation == "openai_v2":
            assert rendered == step.usage["prompt_tokens"] - 669  # the tools it does not carry
        else:
            assert rendered == step.usage["prompt_tokens"]


@pytest.mark.parametrize("instrumentation", LANGCHAIN)
def test_tool_schemas_are_the_offered_ones(instrumentation: str, expected: dict[str, Trace]) -> None:
    """Nested properties, defaults and enums survive."""
    wanted = expected["A"].steps[0].tools
    for step in recorded(instrumentation, "A").steps:
        assert step.kind == "tool" or step.tools == wanted


@pytest.mark.parametrize(("instrumentation", "scenario"), RECORDINGS)
def test_json_says_the_same_as_protobuf(instrumentation: str, scenario: str) -> None:
    """Both encodings give the same spans."""
    assert spans(instrumentation, scenario, "json") == spans(instrumentation, scenario, "pb")


@pytest.mark.parametrize(("instrumentation", "scenario"), RECORDINGS)
def test_order_and_repetition_do_not_matter(instrumentation: str, scenario: str) -> None:
    """Shuffled and doubled spans are the same trace."""
    found = run_spans(instrumentation, scenario)
    mixed = found * 2
    random.Random(scenario).shuffle(mixed)
    assert assemble(mixed) == assemble(found)


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
@pytest.mark.parametrize("order", ["as sent", "shuffled"])
def test_batches_become_one_trace(instrumentation: str, order: str, store: Store, sink: SpanSink) -> None:
    """Spans one by one, in any order and again: one trace per run, with the same steps as at once."""
    found = spans(instrumentation, "B") + shifted(spans(instrumentation, "C"), "e")
    if order == "shuffled":
        random.Random(7).shuffle(found)
    for span in [*found, *found[:4]]:
        sink.receive([span])
    sink.settle()
    traces = all_traces(store)
    assert [len(trace.steps) for trace in traces] == [6, 5]
    for trace, scenario in zip(traces, "BC", strict=True):
        whole = recorded(instrumentation, scenario)
        assert (trace.name, trace.status, trace.session) == (whole.name, whole.status, whole.session)
        assert [step.result for step in trace.steps] == [step.result for step in whole.steps]
        assert [step.output for step in trace.steps] == [step.output for step in whole.steps]
        assert {step.trace_id for step in trace.steps} == {trace.id}


def test_creating_an_agent_is_no_run(store: Store, sink: SpanSink) -> None:
    """OpenLLMetry's create_agent span, in a trace of its own, writes nothing."""
    sink.receive([span for span in spans("openllmetry", "A") if span.name.startswith("create_agent")])
    sink.settle()
    assert all_traces(store) == []


def test_documentation_lists_what_is_not_carried(expected: dict[str, Trace]) -> None:
    """The table in docs/opentelemetry.md is what the recordings prove (printed by otel_capabilities.py)."""
    assert table(expected) in DOCS.read_text(encoding="utf-8")
