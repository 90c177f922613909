"""Forms that instrumentations write according to their sources; each test names the one it is made from."""

from __future__ import annotations

import json
from typing import Any

from otel_recordings import all_traces
from otel_spans import ADD, chat, reading, run, said, span

from flashtrace_agent.integrations.opentelemetry.record import SpanEvent
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

SCHEMA = ToolSchema("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
ONE, TWO = {"a": 1}, {"a": 2}
QUESTION = Message("user", "1 and 2?")
CALLS = (ToolCall("c1", "add", ONE), ToolCall("c2", "add", TWO))
RESULTS = [Message("tool", "two", tool_call_id="c1"), Message("tool", "three", tool_call_id="c2")]


def pairs(trace: Trace) -> list[tuple[Any, str | None]]:
    """Return the arguments and result of each tool step."""
    return [(step.arguments, step.result) for step in trace.steps if step.kind == "tool"]


def openai_calls(*calls: ToolCall) -> list[dict[str, Any]]:
    """Return calls as OpenAI's clients send them."""
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for call in calls
    ]


def test_vercel() -> None:
    """The AI SDK: `generateText` with two calls of one tool at once, of which one fails.

    packages/ai/src/telemetry in github.com/vercel/ai.
    """
    tool = {"type": "function", "name": "add", "description": "Add.", "inputSchema": SCHEMA.parameters}
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "1 and 2?"}]},
    ]
    made = [{"toolCallId": call.id, "toolName": "add", "input": json.dumps(call.arguments)} for call in CALLS]
    parts = [{"type": "tool-call", **call, "input": json.loads(call["input"])} for call in made]
    outputs = [{"type": "text", "value": "two"}, {"type": "error-text", "value": "too large"}]
    results = [
        {"type": "tool-result", "toolCallId": call.id, "toolName": "add", "output": output}
        for call, output in zip(CALLS, outputs, strict=True)
    ]
    answered = [
        *history,
        {"role": "assistant", "content": [{"type": "reasoning", "text": "Both."}, *parts]},
        {"role": "tool", "content": results},
    ]

    def step(messages: list[Any], **response: Any) -> dict[str, Any]:
        return {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.telemetry.metadata.sessionId": "s1",
            "ai.prompt.messages": json.dumps(messages),
            "ai.prompt.tools": [json.dumps(tool)],
            "ai.response.model": "m",
            "gen_ai.request.model": "m",
            "gen_ai.request.temperature": 0.5,
            "ai.usage.promptTokens": 12,
            **{f"ai.response.{name}": value for name, value in response.items()},
        }

    def call(number: int, made: ToolCall, **more: Any) -> dict[str, Any]:
        return {
            "ai.operationId": "ai.toolCall",
            "ai.toolCall.name": made.name,
            "ai.toolCall.id": made.id,
            "ai.toolCall.args": json.dumps(made.arguments),
            **more,
        }

    trace = run(
        span(1, {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "adder"}),
        span(
            2,
            step(history, reasoning="Both.", toolCalls=json.dumps(made), finishReason="tool-calls"),
            parent=1,
        ),
        span(3, call(3, CALLS[0], **{"ai.toolCall.result": '"two"'}), parent=1),
        span(4, call(4, CALLS[1]), parent=1, status="error", status_message="too large"),
        span(5, step(answered, text="2, and an error.", finishReason="stop"), parent=1),
    )
    first, last = (step for step in trace.steps if step.kind == "model")
    assert (trace.name, trace.session) == ("adder", "s1")
    assert first.output == Message("assistant", reasoning="Both.", tool_calls=CALLS)
    assert (first.tools, first.model, first.finish_reason) == ([SCHEMA], "m", "tool_calls")
    assert (first.usage, first.settings["temperature"]) == ({"prompt_tokens": 12}, 0.5)
    assert pairs(trace) == [(ONE, "two"), (TWO, "too large")]
    assert [step.status for step in trace.steps if step.kind == "tool"] == ["ok", "error"]
    assert last.input == [
        Message("system", "Be brief."),
        QUESTION,
        Message("assistant", tool_calls=CALLS),
        RESULTS[0],
        Message("tool", "too large", tool_call_id="c2", status="error"),
    ]
    assert last.output == Message("assistant", "2, and an error.")


def test_google_adk() -> None:
    """Gemini's requests as JSON, whatever the model; of several calls at once a span that says nothing.

    google/adk/telemetry/tracing.py in google-adk 2.13.0.
    """
    declaration = {
        "name": "add",
        "description": "Add.",
        "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}},
    }
    config = {
        "system_instruction": "Be brief.",
        "temperature": 0.5,
        "tools": [{"function_declarations": [declaration]}],
    }
    question = {"role": "user", "parts": [{"text": "1 and 2?"}]}
    calls = [{"function_call": {"id": call.id, "args": call.arguments, "name": "add"}} for call in CALLS]
    responses = [{"id": result.tool_call_id, "response": {"result": result.content}} for result in RESULTS]
    answers = [{"function_response": {"name": "add", **response}} for response in responses]
    thought = {"text": "Both.", "thought": True}

    def model(contents: list[Any], *parts: Any) -> dict[str, Any]:
        request = {"model": "m", "config": config, "contents": contents}
        return {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "m",
            "gcp.vertex.agent.session_id": "s1",
            "gcp.vertex.agent.llm_request": json.dumps(request),
            "gcp.vertex.agent.llm_response": json.dumps({"content": {"role": "model", "parts": parts}}),
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.response.finish_reasons": ["stop"],
        }

    def tool(made: ToolCall, result: str) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "add",
            "gen_ai.tool.call.id": made.id,
            "gcp.vertex.agent.llm_request": "{}",
            "gcp.vertex.agent.llm_response": "{}",
            "gcp.vertex.agent.tool_call_args": json.dumps(made.arguments),
            "gcp.vertex.agent.tool_response": json.dumps({"result": result}),
        }

    merged = {**tool(CALLS[0], ""), "gen_ai.tool.name": "(merged tools)", "gen_ai.tool.call.id": "e1"}
    inner = {"gen_ai.operation.name": "generate_content", "gcp.vertex.agent.event_id": "e1"}
    history = [question, {"role": "model", "parts": [thought, *calls]}, {"role": "user", "parts": answers}]
    trace = run(
        span(1, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "adder"}),
        span(2, model([question], thought, *calls), parent=1),
        span(3, inner, parent=2),
        span(4, tool(CALLS[0], "two"), parent=1),
        span(5, tool(CALLS[1], "three"), parent=1),
        span(6, merged, parent=1),
        span(7, model(history, {"text": "2 and 3."}), parent=1),
    )
    first, last = (step for step in trace.steps if step.kind == "model")
    assert (trace.name, trace.session) == ("adder", "s1")
    assert first.output == Message("assistant", reasoning="Both.", tool_calls=CALLS)
    assert (first.tools, first.settings["temperature"]) == ([SCHEMA], 0.5)
    assert pairs(trace) == [(ONE, '{"result": "two"}'), (TWO, '{"result": "three"}')]
    assert last.input[1:3] == [QUESTION, Message("assistant", tool_calls=CALLS)]
    assert [message.content for message in last.input[3:]] == ['{"result": "two"}', '{"result": "three"}']
    assert last.output == Message("assistant", "2 and 3.")


def test_gemini_in_events() -> None:
    """Roles and parts under `content`; all that precedes the answer comes as the user's message.

    google/adk/telemetry/_stable_semconv.py in google-adk 2.13.0; so writes google-genai's instrumentation.
    """
    contents: list[dict[str, Any]] = [
        {"role": "user", "parts": [{"text": "1?"}]},
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "add", "args": ONE}}]},
        {"role": "user", "parts": [{"function_response": {"id": "c1", "response": {"result": 2}}}]},
    ]
    events = (
        SpanEvent("gen_ai.system.message", {"content": {"role": "user", "parts": [{"text": "Be brief."}]}}),
        *(SpanEvent("gen_ai.user.message", {"content": content}) for content in contents),
        SpanEvent(
            "gen_ai.choice",
            {"index": 0, "content": {"role": "model", "parts": [{"text": "2."}]}, "finish_reason": "STOP"},
        ),
    )
    read = reading({"gen_ai.operation.name": "generate_content"}, "genai", events=events)
    assert read.input == [
        Message("system", "Be brief."),
        Message("user", "1?"),
        Message("assistant", tool_calls=CALLS[:1]),
        Message("tool", '{"result": 2}', tool_call_id="c1"),
    ]
    assert (read.output, read.finish_reason) == (Message("assistant", "2."), "STOP")


def litellm(messages: list[Message], answer: Message, **more: Any) -> dict[str, Any]:
    """Return the attributes of a request through LiteLLM (its integrations/opentelemetry.py, 1.109.1)."""
    written = []
    for message in messages:
        body: dict[str, Any] = {"role": message.role, "parts": [{"type": "text", "content": message.content}]}
        if message.tool_calls:
            body["tool_calls"] = openai_calls(*message.tool_calls)
        if message.tool_call_id:
            body["tool_call_id"] = message.tool_call_id
        written.append(body)
    parts = [{"type": "text", "content": answer.content}] if answer.content else []
    output = {"role": "assistant", "parts": parts, "finish_reason": "stop"}
    attributes = {
        "llm.request.type": "acompletion",
        "gen_ai.operation.name": "acompletion",
        "gen_ai.input.messages": json.dumps(written),
        "gen_ai.output.messages": json.dumps([output]),
        "llm.request.functions.0.name": "add",
        "llm.request.functions.0.description": "Add.",
        "llm.request.functions.0.parameters": json.dumps(SCHEMA.parameters),
        "gen_ai.usage.input_tokens": 12,
    }
    for number, call in enumerate(answer.tool_calls):
        attributes[f"gen_ai.completion.{number}.function_call.name"] = call.name
        attributes[f"gen_ai.completion.{number}.function_call.arguments"] = json.dumps(call.arguments)
    return {**attributes, **more}


def test_litellm(store: Store, sink: SpanSink) -> None:
    """Calls are no part of an answer and have no ids there; each request is a trace of its own."""
    asked = Message("assistant", tool_calls=CALLS)
    done = Message("assistant", "2 and 3.")
    first = litellm([QUESTION], asked)
    last = litellm([QUESTION, asked, *RESULTS], done)
    sink.receive([span(1, first, trace="aa" * 16), span(2, last, trace="bb" * 16)])
    (trace,) = all_traces(store)
    models = [step for step in trace.steps if step.kind == "model"]
    unnamed = tuple(ToolCall("", call.name, call.arguments) for call in CALLS)
    assert [step.output for step in models] == [Message("assistant", tool_calls=unnamed), done]
    assert models[1].input == [QUESTION, asked, *RESULTS]
    assert [step.tools for step in models] == [[SCHEMA], [SCHEMA]]
    assert pairs(trace) == [(ONE, "two"), (TWO, "three")]
    assert [step.tool_call_id for step in trace.steps if step.kind == "tool"] == ["c1", "c2"]


def test_tools_by_number() -> None:
    """LiteLLM's newer engine numbers them (litellm/integrations/otel/mappers/genai.py in 1.109.1)."""
    attributes = chat([said("user", "1?")], said("assistant", "2."))
    tools = {"name": "add", "description": "Add.", "parameters": json.dumps(SCHEMA.parameters)}
    attributes |= {f"gen_ai.tool.0.{name}": value for name, value in tools.items()}
    assert reading(attributes, "genai").tools == [SCHEMA]


def test_files_leave_their_place_alone() -> None:
    """An image's bytes are no words.

    packages/otel/src/gen-ai-format-messages.ts in github.com/vercel/ai, as the conventions have it.
    """
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="}
    uri = {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"}
    question = {"role": "user", "parts": [{"type": "text", "content": "What is "}, blob, uri]}
    read = reading(chat([question], said("assistant", "2.")), "genai")
    assert read.input == [Message("user", "What is [blob][uri]")]


def test_parallel_calls_without_ids() -> None:
    """Ollama's API knows no ids: two calls of one tool at once keep their own arguments and results.

    docs/api.md in github.com/ollama/ollama.
    """
    calls = [{"function": {"name": "add", "arguments": arguments}} for arguments in (ONE, TWO)]
    asked = {"role": "assistant", "content": "", "tool_calls": calls}
    results = [{"role": "tool", "tool_name": "add", "content": text} for text in ("two", "three")]
    question = {"role": "user", "content": "1 and 2?"}
    first = span(1, chat([question], asked), parent=9)
    last = span(4, chat([question, asked, *results], said("assistant", "2 and 3.")), parent=9)
    frame = span(9, {"gen_ai.operation.name": "invoke_agent"}, second=0)
    expected = [(ONE, "two"), (TWO, "three")]
    assert pairs(run(frame, first, last)) == expected

    def tool(number: int, result: str, **arguments: Any) -> Any:
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add", **arguments}
        return span(number, {**attributes, "gen_ai.tool.call.result": result}, parent=9)

    assert pairs(run(frame, first, tool(2, "two"), tool(3, "three"), last)) == expected
    swapped = [tool(2, "three", **{"gen_ai.tool.call.arguments": TWO}), tool(3, "two")]
    assert sorted(pairs(run(frame, first, *swapped, last)), key=str) == expected


def test_two_calls_with_one_id() -> None:
    """Servers that number every call alike: by their arguments, else in order."""
    calls = tuple(ToolCall("call_0", "add", arguments) for arguments in (ONE, TWO))
    asked = {"role": "assistant", "content": "", "tool_calls": openai_calls(*calls)}
    tools = [
        span(
            number,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "add",
                "gen_ai.tool.call.id": "call_0",
                "gen_ai.tool.call.arguments": json.dumps(arguments),
                "gen_ai.tool.call.result": result,
            },
        )
        for number, arguments, result in ((2, TWO, "three"), (3, ONE, "two"))
    ]
    trace = run(span(1, chat([{"role": "user", "content": "?"}], asked)), *tools)
    assert pairs(trace) == [(TWO, "three"), (ONE, "two")]
    assert {step.parent_id for step in trace.steps if step.kind == "tool"} == {trace.steps[0].id}


def test_responses_api_flattened() -> None:
    """Of the Responses API each item is a message: thought, words and calls of one turn belong together.

    openinference/instrumentation/openai_agents/_processor.py in 2.6.0.
    """
    request, answer = "llm.input_messages", "llm.output_messages"
    read = reading(
        {
            "openinference.span.kind": "LLM",
            f"{request}.0.message.role": "system",
            f"{request}.0.message.content": "Be brief.",
            f"{request}.1.message.role": "user",
            f"{request}.1.message.content": "1 and 2?",
            f"{request}.2.message.role": "assistant",
            f"{request}.2.message.contents.0.message_content.type": "reasoning",
            f"{request}.2.message.contents.0.message_content.text": "First.",
            f"{request}.3.message.role": "assistant",
            f"{request}.3.message.tool_calls.0.tool_call.id": "c1",
            f"{request}.3.message.tool_calls.0.tool_call.function.name": "add",
            f"{request}.3.message.tool_calls.0.tool_call.function.arguments": '{"a": 1}',
            f"{request}.4.message.role": "tool",
            f"{request}.4.message.content": "two",
            f"{request}.4.message.tool_call_id": "c1",
            f"{answer}.0.message.role": "assistant",
            f"{answer}.0.message.contents.0.message_content.type": "reasoning",
            f"{answer}.0.message.contents.0.message_content.text": "Next.",
            f"{answer}.1.message.role": "assistant",
            f"{answer}.1.message.contents.0.message_content.type": "text",
            f"{answer}.1.message.contents.0.message_content.text": "A moment.",
            f"{answer}.2.message.role": "assistant",
            f"{answer}.2.message.tool_calls.0.tool_call.id": "c2",
            f"{answer}.2.message.tool_calls.0.tool_call.function.name": "add",
            f"{answer}.2.message.tool_calls.0.tool_call.function.arguments": '{"a": 2}',
            "output.value": json.dumps({"output": RESPONSE, "model": "m"}),
        },
        "openinference",
    )
    assert read.input == [
        Message("system", "Be brief."),
        QUESTION,
        Message("assistant", reasoning="First.", tool_calls=CALLS[:1]),
        RESULTS[0],
    ]
    assert read.output == Message("assistant", "A moment.", reasoning="Next.", tool_calls=CALLS[1:])


RESPONSE = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Next."}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A moment."}]},
    {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "add", "arguments": '{"a": 2}'},
]


def test_responses_api_as_it_is() -> None:
    """A wrapped client's request and response (LangSmith's `wrap_openai`).

    developers.openai.com/api/reference/responses.
    """
    items = [
        {"role": "user", "content": "1 and 2?"},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "two"},
    ]
    tool = {"type": "function", **ADD["function"]}
    request = {"model": "m", "instructions": "Be brief.", "input": items, "tools": [tool]}
    response = {"model": "m", "output": RESPONSE, "usage": {"input_tokens": 12, "output_tokens": 3}}
    read = reading(
        {
            "langsmith.span.kind": "llm",
            "gen_ai.prompt": json.dumps(request),
            "gen_ai.completion": json.dumps(response),
        },
        "langsmith",
    )
    asked = Message("assistant", tool_calls=CALLS[:1])
    assert read.input == [Message("system", "Be brief."), QUESTION, asked, RESULTS[0]]
    assert read.output == Message("assistant", "A moment.", reasoning="Next.", tool_calls=CALLS[1:])
    assert (read.tools, read.model) == ([SCHEMA], "m")
    assert read.usage == {"prompt_tokens": 12, "completion_tokens": 3}


def test_anthropics_request_and_response() -> None:
    """The system prompt stands beside the messages; the response says why it ended.

    docs.anthropic.com/en/api/messages, as MLflow's autologging keeps it.
    """
    request = {
        "model": "m",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": "1?"}],
    }
    response = {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "2."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 12, "output_tokens": 3},
    }
    read = reading(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": json.dumps(request),
            "mlflow.spanOutputs": json.dumps(response),
        },
        "mlflow",
    )
    assert read.input == [Message("system", "Be brief."), Message("user", "1?")]
    assert (read.output, read.finish_reason, read.model) == (Message("assistant", "2."), "end_turn", "m")
    assert read.usage == {"prompt_tokens": 12, "completion_tokens": 3}


def test_text_completions() -> None:
    """A choice that is a text (OpenAI's `/v1/completions`)."""
    read = reading(
        {
            "openinference.span.kind": "LLM",
            "input.value": json.dumps({"model": "m", "prompt": "1 and 1 is"}),
            "output.value": json.dumps({"choices": [{"text": " 2", "finish_reason": "length"}]}),
        },
        "openinference",
    )
    assert read.input == [Message("user", "1 and 1 is")]
    assert (read.output, read.finish_reason) == (Message("assistant", " 2"), "length")


def test_agno() -> None:
    """The answer's flattened form is one JSON text, and results have no ids.

    openinference-instrumentation-agno, _model_wrapper.py.
    """
    answer = {"role": "assistant", "content": "A moment.", "tool_calls": openai_calls(*CALLS)}
    read = reading(
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "1 and 2?",
            "llm.output_messages.0": json.dumps(answer),
            "output.value": json.dumps([answer]),
            "llm.tools.0.tool.json_schema": json.dumps(ADD),
        },
        "openinference",
    )
    assert read.output == Message("assistant", "A moment.", tool_calls=CALLS)
    assert (read.input, read.tools) == ([QUESTION], [SCHEMA])


def test_llama_index_tool() -> None:
    """A tool's span holds LlamaIndex's own objects.

    openinference-instrumentation-llama-index, _handler.py.
    """
    blocks = [{"text": "No "}, {"text": "way."}]
    output = {"blocks": blocks, "tool_name": "add", "raw_output": 1, "is_error": True}
    read = reading(
        {
            "openinference.span.kind": "TOOL",
            "tool.name": "add",
            "tool.parameters": json.dumps(SCHEMA.parameters),
            "input.value": json.dumps({"kwargs": ONE}),
            "output.value": json.dumps(output),
        },
        "openinference",
    )
    assert (read.name, read.arguments, read.result, read.failed) == ("add", ONE, "No way.", True)


def test_pydantic_ais_first_format() -> None:
    """Events as an attribute of the span, tools among the request's parameters, own names on a tool's span.

    pydantic_ai/models/instrumented.py, version 1 of its InstrumentationSettings.
    """
    events = [
        {"content": "Be brief.", "role": "system", "event.name": "gen_ai.system.message"},
        {"content": "1 and 2?", "role": "user", "event.name": "gen_ai.user.message"},
        {
            "role": "assistant",
            "tool_calls": openai_calls(*CALLS[:1]),
            "event.name": "gen_ai.assistant.message",
        },
        {"content": "two", "role": "tool", "id": "c1", "name": "add", "event.name": "gen_ai.tool.message"},
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": [{"kind": "thinking", "text": "Easy."}, {"kind": "text", "text": "2."}],
            },
            "event.name": "gen_ai.choice",
        },
    ]
    function = {"name": "add", "description": "Add.", "parameters_json_schema": SCHEMA.parameters}
    read = reading(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "events": json.dumps(events),
            "model_request_parameters": json.dumps({"function_tools": [function], "output_tools": []}),
        },
        "genai",
    )
    assert read.input[:3] == [
        Message("system", "Be brief."),
        QUESTION,
        Message("assistant", tool_calls=CALLS[:1]),
    ]
    assert (read.input[3].content, read.input[3].tool_call_id) == ("two", "c1")
    assert (read.output, read.tools) == (Message("assistant", "2.", reasoning="Easy."), [SCHEMA])
    tool = reading(
        {
            "gen_ai.tool.name": "add",
            "gen_ai.tool.call.id": "c1",
            "tool_arguments": '{"a": 1}',
            "tool_response": "two",
        },
        "genai",
    )
    assert (tool.call_id, tool.arguments, tool.result) == ("c1", ONE, "two")
    frame = reading({"agent_name": "adder", "gen_ai.usage.input_tokens": 12}, "genai")
    assert (frame.kind, frame.name) == ("frame", "adder")


def test_azures_events() -> None:
    """Each event's content is JSON under one attribute.

    azure/ai/inference/tracing.py in azure-ai-inference.
    """

    def event(name: str, **content: Any) -> SpanEvent:
        return SpanEvent(name, {"gen_ai.event.content": json.dumps(content)})

    events = (
        event("gen_ai.user.message", role="user", content="1 and 2?"),
        event("gen_ai.choice", message={"content": "2 and 3."}, finish_reason="stop", index=0),
    )
    read = reading({"gen_ai.operation.name": "chat"}, "genai", events=events)
    assert (read.input, read.output) == ([QUESTION], Message("assistant", "2 and 3."))
    assert read.finish_reason == "stop"


def test_langfuse_beside_others() -> None:
    """Langfuse's processor adds what the user attached to the spans of other instrumentations.

    langfuse/_client/client.py in 5.0.4 (`mask_otel_spans`).
    """
    more = {"langfuse.environment": "default", "langfuse.trace.metadata.customer": '"acme"'}
    attributes = chat([said("user", "1?")], said("assistant", "2."), **more)
    assert reading(attributes, "genai").output == Message("assistant", "2.")
