"""Each dialect on small spans: older and newer forms than the recorded ones, and sloppy ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from otel_spans import ADD, called, chat, reading, run, said, span

from flashtrace_agent.integrations.opentelemetry.dialects import read_span
from flashtrace_agent.integrations.opentelemetry.record import SpanEvent
from flashtrace_agent.message import Message, ToolCall, ToolSchema

CALL = ToolCall("c1", "add", {"a": 1})
SCHEMA = ToolSchema("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
HISTORY = [
    Message("system", "Be brief."),
    Message("user", "1?"),
    Message("assistant", tool_calls=(CALL,)),
    Message("tool", "2", tool_call_id="c1"),
]


def without_names(messages: list[Message]) -> list[Message]:
    return [Message.from_dict({**message.to_dict(), "name": None}) for message in messages]


def test_genai_structures_instead_of_text() -> None:
    """Messages may be structures; a result is under `response` or `result`; system stands apart."""
    parts = [{"type": "tool_call_response", "id": "c1", "result": "2"}]
    read = reading(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
            "gen_ai.input.messages": [
                said("user", "1?"),
                called("add", '{"a": 1}', "c1"),
                {"role": "tool", "parts": parts},
            ],
            "gen_ai.output.messages": [
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "reasoning", "content": "Easy."},
                        {"type": "text", "content": "It is "},
                        {"type": "text", "content": "2."},
                    ],
                    "finish_reason": "stop",
                }
            ],
            "gen_ai.tool.definitions": [ADD, {"type": "function", **ADD["function"]}],  # type: ignore[dict-item]
            "gen_ai.request.model": "m",
            "gen_ai.usage.prompt_tokens": 12,
            "gen_ai.usage.completion_tokens": "3",
            "gen_ai.request.stop_sequences": ["\n"],
        },
        "genai",
    )
    assert read.input == HISTORY
    assert read.output == Message("assistant", "It is 2.", reasoning="Easy.")
    assert read.tools == [SCHEMA, SCHEMA]
    assert (read.model, read.finish_reason) == ("m", "stop")
    assert read.usage == {"prompt_tokens": 12, "completion_tokens": 3}
    assert read.settings == {"stop": ["\n"]}


def test_genai_events_of_earlier_conventions() -> None:
    """Messages in span events, one each, with the choice at the end."""
    events = (
        SpanEvent("gen_ai.system.message", {"content": "Be brief."}),
        SpanEvent("gen_ai.user.message", {"content": "1?"}),
        SpanEvent(
            "gen_ai.assistant.message",
            {"tool_calls": json.dumps([{"id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}])},
        ),
        SpanEvent("gen_ai.tool.message", {"id": "c1", "content": "2"}),
        SpanEvent(
            "gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"content": "It is 2."}'}
        ),
    )
    read = reading({"gen_ai.system": "openai", "gen_ai.request.model": "m"}, "genai", events=events)
    assert read.input == HISTORY
    assert read.output == Message("assistant", "It is 2.")
    assert read.finish_reason == "stop"


def test_genai_details_event() -> None:
    """Instrumentations may put the messages into an event of the span instead of attributes."""
    attributes = chat([said("user", "Hi")], said("assistant", "Ho"))
    event = SpanEvent("gen_ai.client.inference.operation.details", attributes)
    read = reading({"gen_ai.operation.name": "chat"}, "genai", events=(event,))
    assert (read.input, read.output) == ([Message("user", "Hi")], Message("assistant", "Ho"))


def test_openinference_of_other_frameworks() -> None:
    """Flattened messages with content blocks, legacy functions, and ids on the tool's own span."""
    prefix = "llm.input_messages."
    read = reading(
        {
            "openinference.span.kind": "LLM",
            f"{prefix}0.message.role": "developer",
            f"{prefix}0.message.content": "Be brief.",
            f"{prefix}1.message.role": "user",
            f"{prefix}1.message.contents.0.message_content.type": "text",
            f"{prefix}1.message.contents.0.message_content.text": "1?",
            f"{prefix}2.message.role": "assistant",
            f"{prefix}2.message.tool_calls.0.tool_call.id": "c1",
            f"{prefix}2.message.tool_calls.0.tool_call.function.name": "add",
            f"{prefix}2.message.tool_calls.0.tool_call.function.arguments": "{'a': 1}",
            f"{prefix}3.message.role": "tool",
            f"{prefix}3.message.content": "2",
            f"{prefix}3.message.tool_call_id": "c1",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "It is 2.",
            "llm.output_messages.0.message.contents.1.message_content.type": "reasoning",
            "llm.output_messages.0.message.contents.1.message_content.text": "Easy.",
            "llm.invocation_parameters": json.dumps({"model": "m", "temperature": 0, "tools": [ADD]}),
            "llm.token_count.prompt": 12,
        },
        "openinference",
    )
    assert read.input == HISTORY
    assert read.output == Message("assistant", "It is 2.", reasoning="Easy.")
    assert read.tools == [SCHEMA]
    assert (read.model, read.usage, read.settings) == ("m", {"prompt_tokens": 12}, {"temperature": 0})
    tool = reading(
        {
            "openinference.span.kind": "TOOL",
            "tool.name": "add",
            "tool_call.id": "c1",
            "input.value": "{'a': 1}",
            "output.value": "2",
        },
        "openinference",
    )
    assert (tool.name, tool.call_id, tool.arguments, tool.result) == ("add", "c1", {"a": 1}, "2")


def test_openllmetry_old_form() -> None:
    """`gen_ai.prompt.N`, `gen_ai.completion.N` and `llm.request.functions.N`."""
    read = reading(
        {
            "llm.request.type": "chat",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "Be brief.",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": '[{"type": "text", "text": "1?"}]',
            "gen_ai.prompt.2.role": "assistant",
            "gen_ai.prompt.2.tool_calls.0.id": "c1",
            "gen_ai.prompt.2.tool_calls.0.name": "add",
            "gen_ai.prompt.2.tool_calls.0.arguments": '{"a": 1}',
            "gen_ai.prompt.3.role": "tool",
            "gen_ai.prompt.3.content": "2",
            "gen_ai.prompt.3.tool_call_id": "c1",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "It is 2.",
            "gen_ai.completion.0.finish_reason": "stop",
            "llm.request.functions.0.name": "add",
            "llm.request.functions.0.description": "Add.",
            "llm.request.functions.0.parameters": json.dumps(SCHEMA.parameters),
            "gen_ai.response.model": "m",
            "gen_ai.usage.prompt_tokens": 12,
            "gen_ai.usage.completion_tokens": 3,
        },
        "openllmetry",
    )
    assert read.input == HISTORY
    assert read.output == Message("assistant", "It is 2.")
    assert read.tools == [SCHEMA]
    assert (read.model, read.finish_reason) == ("m", "stop")
    assert read.usage == {"prompt_tokens": 12, "completion_tokens": 3}


def test_openllmetry_of_a_transformers_pipeline() -> None:
    """Messages as Python shows them, and an answer that begins with them; texts as they are."""
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1?\n'2'?"}]
    answer = {"role": "assistant", "content": "3."}
    prompts = {f"gen_ai.prompt.{index}.content": str(message) for index, message in enumerate(asked)}
    written = {"llm.request.type": "completion", "gen_ai.completion.0.content": str([*asked, answer])}
    read = reading({**prompts, **written}, "openllmetry")
    assert read.input == [Message("system", "Be brief."), Message("user", "1?\n'2'?")]
    assert read.output == Message("assistant", "3.")
    texts = {"gen_ai.prompt.0.content": "1 and 1 is", "gen_ai.completion.0.content": "1 and 1 is 2"}
    name = "transformers_text_generation_pipeline.call"
    read = reading({"llm.request.type": "completion", **texts}, "openllmetry", name=name)
    assert (read.input, read.output) == ([Message("user", "1 and 1 is")], Message("assistant", " 2"))


def test_openllmetry_decorated_tool() -> None:
    """The `@tool` decorator writes args and kwargs."""
    read = reading(
        {
            "traceloop.span.kind": "tool",
            "traceloop.entity.name": "add",
            "traceloop.entity.input": '{"args": [], "kwargs": {"a": 1}}',
            "traceloop.entity.output": "2",
        },
        "openllmetry",
    )
    assert (read.kind, read.name, read.arguments, read.result) == ("tool", "add", {"a": 1}, "2")


def test_langsmith_openai_wrapper() -> None:
    """Runs that are no LangChain's: OpenAI's request and response as they are."""
    request = {"messages": [{"role": "user", "content": "1?"}], "model": "m", "tools": [ADD]}
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    response = {
        "choices": [
            {
                "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                "finish_reason": "tool_calls",
            }
        ],
        "model": "m",
        "usage": {"prompt_tokens": 12, "completion_tokens": 3},
    }
    read = reading(
        {
            "langsmith.span.kind": "llm",
            "langsmith.trace.session_name": "project",
            "langsmith.metadata.thread_id": "t1",
            "gen_ai.prompt": json.dumps(request),
            "gen_ai.completion": json.dumps(response),
        },
        "langsmith",
    )
    assert read.input == [Message("user", "1?")]
    assert read.output == Message("assistant", tool_calls=(CALL,))
    assert (read.model, read.finish_reason, read.session) == ("m", "tool_calls", "t1")
    assert read.usage == {"prompt_tokens": 12, "completion_tokens": 3}


def test_langfuse_openai_wrapper() -> None:
    """A generation whose input is an object with messages and tools, and plain counts."""
    read = reading(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": json.dumps(
                {"messages": [{"role": "user", "content": "1?"}], "tools": [ADD]}
            ),
            "langfuse.observation.output": "It is 2.",
            "langfuse.observation.usage_details": '{"prompt_tokens": 12, "completion_tokens": 3}',
            "langfuse.observation.model.name": "m",
            "session.id": "s1",
            "langfuse.trace.tags": ["red"],
        },
        "langfuse",
    )
    assert read.input == [Message("user", "1?")]
    assert read.output == Message("assistant", "It is 2.")
    assert (read.tools, read.session, read.tags) == ([SCHEMA], "s1", ("red",))
    assert read.usage == {"prompt_tokens": 12, "completion_tokens": 3}


def test_mlflow_openai_autolog() -> None:
    """The request is the span's input, so its tools and model are there."""
    read = reading(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": json.dumps(
                {"model": "m", "messages": [{"role": "user", "content": "1?"}], "tools": [ADD], "top_p": 0.9}
            ),
            "mlflow.spanOutputs": json.dumps(
                {"choices": [{"message": {"role": "assistant", "content": "2."}, "finish_reason": "stop"}]}
            ),
            "mlflow.chat.tokenUsage": '{"input_tokens": 12, "output_tokens": 3}',
        },
        "mlflow",
    )
    assert read.input == [Message("user", "1?")]
    assert (read.output, read.finish_reason) == (Message("assistant", "2."), "stop")
    assert (read.tools, read.model, read.settings) == ([SCHEMA], "m", {"top_p": 0.9})
    assert read.usage == {"prompt_tokens": 12, "completion_tokens": 3}


def test_anthropic_blocks() -> None:
    """Calls and results as content blocks; a result has a place of its own in the history."""
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1?"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "2"}]}
            ],
        },
    ]
    read = reading(
        {
            "langsmith.span.kind": "llm",
            "gen_ai.prompt": json.dumps({"messages": history}),
            "gen_ai.completion": json.dumps(
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "Easy."}, {"type": "text", "text": "2."}],
                }
            ),
        },
        "langsmith",
    )
    assert read.input == HISTORY
    assert read.output == Message("assistant", "2.", reasoning="Easy.")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("{'a': 1, 'b': None, 'c': True}", {"a": 1, "b": None, "c": True}),
        ("not json", "not json"),
        ('{"a": 1', '{"a": 1'),
        ("[1]", "[1]"),
        (None, {}),
        (5, "5"),
        ("", ""),
    ],
)
def test_arguments_in_any_form(written: Any, read: Any) -> None:
    """Dict, JSON text, doubly encoded JSON, Python repr; what is none of these stays text."""
    trace = run(span(1, chat([said("user", "x")], called("add", written))))
    assert trace.steps[0].output is not None
    assert trace.steps[0].output.tool_calls == (ToolCall("call_0", "add", read),)


def test_messages_that_are_not_json_are_what_the_user_said() -> None:
    """Text is kept, whatever it looks like."""
    for text in ("plain", "[1, 2]", '"quoted" text', "{broken", "[tag] hello"):
        read = reading({"gen_ai.operation.name": "chat", "gen_ai.input.messages": text}, "genai")
        assert [message.content for message in read.input] == [text]


def test_unknown_roles_count_as_the_users() -> None:
    """Nothing is lost over a role's name."""
    read = reading(
        {"gen_ai.operation.name": "chat", "gen_ai.input.messages": [{"role": "wizard", "content": "hi"}]},
        "genai",
    )
    assert read.input == [Message("user", "hi")]


def test_spans_about_something_else_have_no_dialect() -> None:
    """HTTP and database spans are not read."""
    assert read_span(span(1, {"http.method": "GET"})) is None
    assert read_span(span(1, {"gen_ai.operation.name": "embeddings"})) is None
