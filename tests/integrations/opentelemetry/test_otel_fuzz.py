"""Spans nobody would send on purpose: no reader raises, and what they make can be stored."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from otel_recordings import FOLDER, INSTRUMENTATIONS, run_spans
from otel_spans import START, span

from flashtrace_agent.integrations.opentelemetry.assembly import assemble
from flashtrace_agent.integrations.opentelemetry.body import RefusedError, decompressed
from flashtrace_agent.integrations.opentelemetry.dialects import detect
from flashtrace_agent.integrations.opentelemetry.otlp import BadRequestError
from flashtrace_agent.integrations.opentelemetry.otlp_json import read_json
from flashtrace_agent.integrations.opentelemetry.otlp_protobuf import read_protobuf
from flashtrace_agent.integrations.opentelemetry.record import SpanEvent, SpanRecord
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.store import Store

NAMES = [
    "gen_ai.operation.name",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.name",
    "gen_ai.tool.call.id",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.agent.name",
    "gen_ai.request.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.prompt.0.role",
    "gen_ai.prompt.0.content",
    "gen_ai.prompt.99999999999999.content",
    "gen_ai.completion.0.tool_calls.0.arguments",
    "llm.request.type",
    "openinference.span.kind",
    "input.value",
    "output.value",
    "metadata",
    "llm.input_messages.0.message.role",
    "llm.input_messages.0.message.contents.0.message_content.text",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
    "llm.tools.0.tool.json_schema",
    "llm.invocation_parameters",
    "traceloop.span.kind",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "langsmith.span.kind",
    "langsmith.span.tags",
    "langfuse.observation.type",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.observation.usage_details",
    "langfuse.observation.level",
    "ai.operationId",
    "ai.prompt.messages",
    "ai.prompt.tools",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.llm_response",
    "gcp.vertex.agent.tool_response",
    "gen_ai.completion.0.function_call.name",
    "gen_ai.event.content",
    "gen_ai.tool.0.name",
    "events",
    "model_request_parameters",
    "llm.output_messages.0",
    "mlflow.spanType",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "mlflow.chat.tools",
    "mlflow.chat.tokenUsage",
    "invocation_params",
    "error.type",
    "session.id",
]
WORDS = [
    "chat",
    "execute_tool",
    "invoke_agent",
    "create_agent",
    "LLM",
    "TOOL",
    "CHAIN",
    "llm",
    "tool",
    "chain",
]
WORDS += ["ai.generateText.doGenerate", "ai.toolCall", "function_call", "function_call_output", "reasoning"]
WORDS += ["tool-call", "tool-result", "blob"]
WORDS += [
    "generation",
    '"CHAT_MODEL"',
    '"TOOL"',
    "task",
    "system",
    "user",
    "assistant",
    "ai",
    "text",
    "error",
]
KEYS = [
    "role",
    "type",
    "content",
    "parts",
    "messages",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "args",
    "id",
]
KEYS += [
    "kwargs",
    "lc",
    "data",
    "generations",
    "choices",
    "message",
    "output",
    "tool_call_id",
    "status",
    "reasoning",
]
KEYS += [
    "additional_kwargs",
    "response_metadata",
    "usage_metadata",
    "parameters",
    "tools",
    "json_schema",
    "summary",
]

KEYS += ["text", "toolUse", "toolResult", "reasoningContent", "reasoningText", "toolUseId", "input", "json"]
KEYS += ["functionCall", "function_response", "response", "thought", "toolCallId", "value", "kind", "call_id"]
KEYS += ["config", "contents", "system_instruction", "function_declarations", "function_tools", "event.name"]
KEYS += ["blocks", "tool_name", "instructions"]
KEY = st.sampled_from(KEYS)
EVENTS = ["exception", "gen_ai.choice", "gen_ai.tool.message", "gen_ai.assistant.message", "x"]
EVENTS += ["gen_ai.client.inference.operation.details", "gen_ai.user.message"]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
written = (
    values
    | values.map(json.dumps)
    | values.map(repr)
    | values.map(lambda value: json.dumps(json.dumps(value)))
)
attributes = st.dictionaries(st.sampled_from(NAMES), written, max_size=8)


@st.composite
def span_records(draw: st.DrawFn) -> SpanRecord:
    """Draw a span with nonsense in the places where readers look."""
    second = draw(st.integers(-100, 100))
    return span(
        draw(st.integers(1, 6)),
        draw(attributes),
        parent=draw(st.none() | st.integers(1, 6)),
        second=second,
        end=draw(st.none() | st.just(START + timedelta(seconds=second))),
        name=draw(st.text(max_size=5)),
        status=draw(st.sampled_from(["unset", "ok", "error"])),
        status_message=draw(st.text(max_size=20)),
        events=tuple(
            SpanEvent(draw(st.sampled_from(EVENTS)), draw(attributes | st.dictionaries(KEY, written)))
            for _ in "xy"
        ),
        remote_parent=draw(st.booleans()),
    )


def check_sound(spans: list[SpanRecord]) -> None:
    """Check that a trace has what the rest of the program relies on."""
    for one in spans:
        dialect = detect(one)
        if dialect is not None:
            dialect.read(one)  # `read_span` would catch what it raises
    trace = assemble(spans)
    if trace is None:
        return
    parents = {step.id: step.parent_id for step in trace.steps}
    assert len(parents) == len(trace.steps)
    for step in trace.steps:
        for message in (*step.input, *([step.output] if step.output else [])):
            message.digest()
        assert all(isinstance(amount, int) for amount in step.usage.values())
        assert step.arguments is None or isinstance(step.arguments, dict | str)
        above, seen = step.parent_id, set()
        while above is not None:
            assert above not in seen
            seen.add(above)
            above = parents.get(above)


@given(spans=st.lists(span_records(), min_size=1, max_size=6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_no_span_ends_the_assembly(spans: list[SpanRecord]) -> None:
    """Any attributes of any type, any parents and times."""
    check_sound(spans)
    for one in spans:
        assert SpanRecord.from_dict(json.loads(json.dumps(one.to_dict()))).key == one.key


@given(spans=st.lists(span_records(), min_size=1, max_size=6))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_assembled_can_be_stored(
    spans: list[SpanRecord], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Odd text, numbers and structures go into the store and come back."""
    with Store(f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/traces.db") as store:
        sink = SpanSink(store)
        sink.receive(spans)
        assert sink.settle()
        sink.close()
        for summary in store.list_traces(limit=9):
            store.get_trace(summary.id)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the recordings in ../shared, which are not here")
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_real_spans_with_parts_replaced_are_still_read(data: st.DataObject) -> None:
    """A recorded run of which attributes are missing, of another type, or cut short."""
    name = data.draw(st.sampled_from(INSTRUMENTATIONS))
    spans = run_spans(name, "C")
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(spans) - 1))
        changed = dict(spans[place].attributes)
        if not changed:
            continue
        key = data.draw(st.sampled_from(sorted(changed)))
        changed[key] = data.draw(_cut(changed[key]) | written)
        fields = {**spans[place].to_dict(), "attributes": changed}
        spans[place] = SpanRecord.from_dict(fields)
    check_sound(spans)


def _cut(value: Any) -> st.SearchStrategy[Any]:
    if not isinstance(value, str):
        return st.none()
    return st.integers(0, len(value)).map(lambda end: value[:end])


@given(values)
@settings(max_examples=150, deadline=None)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    """Spans of the wrong shape are left out; a body that is no request says so."""
    shapes = [value, {"resourceSpans": value}, {"resourceSpans": [{"scopeSpans": [{"spans": [value]}]}]}]
    shapes.append({"resourceSpans": [{"scopeSpans": [{"spans": [_span_of(value)]}]}]})
    for shape in shapes:
        try:
            batch = read_json(json.dumps(shape).encode())
        except BadRequestError:
            continue
        check_sound(batch.records)


def _span_of(value: Any) -> dict[str, Any]:
    fields = (
        "name",
        "kind",
        "parentSpanId",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "events",
        "status",
        "flags",
    )
    pairs = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": value, "value": value},
    ]
    pairs += [
        {"key": "gen_ai.input.messages", "value": {name: value}} for name in ("stringValue", "arrayValue")
    ]
    pairs += [{"key": "x", "value": {name: value}} for name in ("intValue", "kvlistValue", "doubleValue")]
    return {"traceId": "ab" * 16, "spanId": "cd" * 8, "attributes": pairs} | dict.fromkeys(fields, value)


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_request_or_refused(body: bytes) -> None:
    """Neither decoder raises anything but its own error."""
    for read in (read_json, read_protobuf):
        with contextlib.suppress(BadRequestError):
            read(body)
    with pytest.raises(RefusedError):
        decompressed(b"\x00" + body)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the recordings in ../shared, which are not here")
@given(st.integers(0, 7000))
@settings(max_examples=40, deadline=None)
def test_cut_protobuf_is_refused_or_read(length: int) -> None:
    """A body cut short anywhere."""
    body = (FOLDER / "genai_langchain" / "A.pb").read_bytes()[:length]
    try:
        check_sound(read_protobuf(body).records)
    except BadRequestError:
        assert length > 0


def test_absurd_numbers_and_depths() -> None:
    """Finds of earlier runs: times beyond any calendar, digits without end, bottomless nesting."""
    deep: Any = "x"
    for _ in range(60):
        deep = {"role": "user", "content": [deep]}
    found = read_json(
        json.dumps(
            {
                "resourceSpans": [
                    {
                        "scopeSpans": [
                            {"spans": [_span_of("9" * 400), _span_of(1e308), _span_of(-1), _span_of(deep)]}
                        ]
                    }
                ]
            }
        ).encode()
    )
    assert len(found.records) == 4
    check_sound(found.records)
    odd = [{"type": ["text"], "text": "a"}, {"type": {"x": 1}}]
    for message in ({"role": "assistant", "content": odd}, {"role": "assistant", "parts": odd}):
        check_sound([span(1, {"gen_ai.operation.name": "chat", "gen_ai.input.messages": [message]})])
    nested = "[" * 100_000 + "]" * 100_000
    check_sound([span(1, {"gen_ai.operation.name": "chat", "gen_ai.input.messages": nested})])
    check_sound(
        [span(1, {"gen_ai.operation.name": "chat", "gen_ai.input.messages": '["' + "x" * 10_000_000})]
    )
