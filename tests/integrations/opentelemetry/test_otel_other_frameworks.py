"""Recordings of more instrumentations than ../shared has: each becomes the run that really happened."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from otel_recordings import all_traces

from flashtrace_agent.integrations.opentelemetry.otlp_logs import read_protobuf_logs
from flashtrace_agent.integrations.opentelemetry.otlp_protobuf import read_protobuf
from flashtrace_agent.integrations.opentelemetry.record import EventRecord, SpanRecord
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

FOLDER = Path(__file__).parent / "recorded"
NAMES = sorted(path.name.removesuffix(".pb.gz") for path in FOLDER.glob("*[!s].pb.gz")) + sorted(
    path.name.removesuffix(".logs.pb.gz") for path in FOLDER.glob("*.logs.pb.gz")
)
LOSES_REASONING = {
    "genai_openai_logs",
    "langfuse_openai",
    "litellm",
    "logfire_openai",
    "openai_v2_logs",
    "openinference_llama_index",
    "openinference_mistral",
    "openllmetry_logs",
    "openllmetry_ollama",
}
LOSES_TOOLS = {"openai_v2_logs", "openllmetry_logs", "strands"}
LOSES_WORDS_BESIDE_CALLS = {"openai_v2_logs"}
LOSES_RESULT_IDS = {"openllmetry_logs", "openllmetry_ollama", "openlit_ollama_logs"}
NAMES_THE_AGENT = {
    "langfuse_openai",
    "langsmith_openai",
    "logfire_first",
    "logfire_openai",
    "openinference_autogen",
    "openinference_langchain_js",
    "openinference_openai",
    "pydantic_ai",
    "strands",
    "strands_latest",
    "vercel_ai",
}
TELLS_NO_FAILURE = {"openinference_anthropic"}
"""Its messages have no place for it, and "ValueError(…)" is no sentence that says so."""

TELLS_NO_MISSING_TOOL = {"openinference_autogen"}
"""Its span of such a tool is as good as any."""

SYSTEM = Message("system", "You sell mirrors.\nBe brief.")
QUESTION = Message("user", "How many mirrors, and at what price?")
CALLS = [
    [("stock", {"item": "mirror"}), ("price", {"item": "mirror", "opts": {"vat": True}})],
    [("weight_of", {"what": "Spiegel ü"})],
    [("fails", {"n": 3})],
    [],
]
WORDS = ["Let me look.", "", "", 'There are 4 mirrors at 7 € "each".']
REASONING = ["Two things at once.\n", "Need weights.", None, "Done."]


def recorded(name: str) -> tuple[list[SpanRecord], list[EventRecord]]:
    """Return a recording's spans and log records."""
    spans = read_protobuf(gzip.decompress((FOLDER / f"{name}.pb.gz").read_bytes()))
    assert spans.rejected == 0
    path = FOLDER / f"{name}.logs.pb.gz"
    if not path.is_file():
        return spans.records, []
    logs = read_protobuf_logs(gzip.decompress(path.read_bytes()))
    assert logs.rejected == 0
    return spans.records, logs.records


def only_trace(store: Store) -> Trace:
    """Return the store's trace, and fail where it is not the only one."""
    traces = all_traces(store)
    assert len(traces) == 1
    return traces[0]


def calls(message: Message) -> list[tuple[str, object]]:
    """Return a message's calls without their ids."""
    return [(call.name, dict(call.arguments)) for call in message.tool_calls if isinstance(call, ToolCall)]  # type: ignore[arg-type]


def receive(sink: SpanSink, name: str, order: random.Random) -> None:
    """Give a recording to a sink in some order, in pieces, some of them twice."""
    spans, events = recorded(name)
    pieces: list[SpanRecord | EventRecord] = [*spans, *events, *spans[:2], *events[:5]]
    order.shuffle(pieces)
    for piece in pieces:
        if isinstance(piece, SpanRecord):
            assert sink.receive([piece]) == (0, "")
        else:
            assert sink.receive_events([piece]) == (0, "")
    sink.settle()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_the_run_is_what_happened(name: str, seed: int, sink: SpanSink, store: Store) -> None:
    """Four model steps with words, calls, reasoning and tools; four tool steps with results."""
    receive(sink, name, random.Random(seed))
    trace = only_trace(store)
    models = [step for step in trace.steps if step.kind == "model"]
    assert trace.status == "ok"
    assert (trace.name == "seller") == (name in NAMES_THE_AGENT)
    assert [step.output.content for step in models if step.output] == WORDS
    assert [calls(step.output) for step in models if step.output] == CALLS
    reasoning = [step.output.reasoning for step in models if step.output]
    assert reasoning == ([None] * 4 if name in LOSES_REASONING else REASONING)
    assert [step.usage for step in models] == [
        {"prompt_tokens": 100 + n, "completion_tokens": 10 + n} for n in range(4)
    ]
    for step in models:
        assert step.model is not None
        assert step.model.endswith("Qwen3-8B")
        offered = [tool.name for tool in step.tools]
        assert offered == ([] if name in LOSES_TOOLS else ["stock", "price", "fails"])
        assert all(tool.parameters.get("properties") for tool in step.tools)
        assert "max_tokens" not in step.settings or isinstance(step.settings["max_tokens"], int)


@pytest.mark.parametrize("name", NAMES)
def test_tools_and_histories(name: str, sink: SpanSink, store: Store) -> None:
    """Each call has its result under the step that made it, and each prompt the whole history."""
    receive(sink, name, random.Random(7))
    trace = only_trace(store)
    models = [step for step in trace.steps if step.kind == "model"]
    tools = {step.name: step for step in trace.steps if step.kind == "tool"}
    assert list(tools) == ["stock", "price", "weight_of", "fails"]
    assert [tools[name].parent_id for name in tools] == [models[n].id for n in (0, 0, 1, 2)]
    assert tools["price"].arguments == {"item": "mirror", "opts": {"vat": True}}
    assert (tools["stock"].result, tools["price"].result) == (json.dumps({"left": 4}), "7 €\nincl. VAT")
    assert (tools["stock"].status, tools["price"].status) == ("ok", "ok")
    assert (tools["weight_of"].status == "error") != (name in TELLS_NO_MISSING_TOOL)
    assert "weight_of" in (tools["weight_of"].result or "")
    assert (tools["fails"].status == "error") != (name in TELLS_NO_FAILURE)
    assert "cannot: " in (tools["fails"].result or "")
    last = models[-1].input
    assert [replace(message, name=None) for message in last[:2]] == [SYSTEM, QUESTION]  # AutoGen names users
    assert [calls(message) for message in last if message.role == "assistant"] == CALLS[:3]
    words = ["", "", ""] if name in LOSES_WORDS_BESIDE_CALLS else WORDS[:3]
    assert [message.content for message in last if message.role == "assistant"] == words
    results = [message for message in last if message.role == "tool"]
    assert [message.content for message in results][:2] == [tools["stock"].result, tools["price"].result]
    assert all(bool(message.tool_call_id) != (name in LOSES_RESULT_IDS) for message in results)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_logs")])
def test_logs_and_spans_in_any_order(name: str, store: Store) -> None:
    """Whichever of the two comes first, the stored run is the same, also after a restart."""
    spans, events = recorded(name)
    sink = SpanSink(store)
    sink.receive_events(events)
    assert all_traces(store) == []  # log records alone are no run
    sink.close()
    sink = SpanSink(store)
    sink.receive(spans)
    sink.settle()
    first = only_trace(store)
    sink.receive_events(events)
    sink.receive(spans)
    sink.close()
    assert only_trace(store) == first
    assert len(first.steps) == 8
