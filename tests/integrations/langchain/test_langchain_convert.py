"""LangChain's messages and tools, in every form they come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.tools import tool
from pydantic import BaseModel

from flashtrace_agent.integrations.blocks import content_text
from flashtrace_agent.integrations.langchain.convert import (
    from_langchain,
    offered_tools,
    tool_schemas,
)
from flashtrace_agent.integrations.langchain.snapshot import take, thaw, trailing_tool_messages
from flashtrace_agent.message import Message, ToolCall, ToolSchema

TEXTS = st.text(max_size=30)
NAMES = st.text(alphabet="abcdefgh_", min_size=1, max_size=8)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
GOOD_CALLS = st.builds(ToolCall, id=NAMES, name=NAMES, arguments=st.dictionaries(NAMES, JSON, max_size=3))
BAD_CALLS = st.builds(ToolCall, id=NAMES, name=NAMES, arguments=st.text(min_size=1, max_size=20))
CALLS = st.builds(
    lambda good, bad: (*good, *bad), st.lists(GOOD_CALLS, max_size=2), st.lists(BAD_CALLS, max_size=2)
)
NAMED = st.none() | NAMES.filter(lambda name: not name.startswith("example"))
MESSAGES = st.one_of(
    st.builds(Message, role=st.just("system"), content=TEXTS, name=NAMED),
    st.builds(Message, role=st.just("user"), content=TEXTS, name=NAMED, example=st.booleans()),
    st.builds(
        Message,
        role=st.just("assistant"),
        content=TEXTS,
        reasoning=st.none() | TEXTS,
        tool_calls=CALLS,
        name=NAMED,
        example=st.booleans(),
    ),
    st.builds(
        Message,
        role=st.just("tool"),
        content=TEXTS,
        tool_call_id=NAMES,
        name=NAMED,
        status=st.sampled_from(["ok", "error"]),
    ),
)


def to_langchain(message: Message) -> BaseMessage:
    """Return the message as LangChain has it."""
    extra: dict[str, Any] = {}
    if message.reasoning is not None:
        extra["reasoning_content"] = message.reasoning
    if message.example:
        extra["example"] = True
    common: dict[str, Any] = {"content": message.content, "name": message.name, "additional_kwargs": extra}
    match message.role:
        case "system":
            return SystemMessage(**common)
        case "user":
            return HumanMessage(**common)
        case "tool":
            return ToolMessage(
                **common,
                tool_call_id=message.tool_call_id or "",
                status="error" if message.status == "error" else "success",
            )
        case "assistant":
            return AIMessage(
                **common,
                tool_calls=[
                    tool_call(name=call.name, args=dict(call.arguments), id=call.id)
                    for call in message.tool_calls
                    if not isinstance(call.arguments, str)
                ],
                invalid_tool_calls=[
                    invalid_tool_call(name=call.name, args=call.arguments, id=call.id)
                    for call in message.tool_calls
                    if isinstance(call.arguments, str)
                ],
            )


@given(MESSAGES)
def test_a_message_survives_the_way_there_and_back(message: Message) -> None:
    """Nothing a model can see is lost."""
    assert from_langchain(to_langchain(message)) == message


@given(MESSAGES)
def test_a_pictured_message_is_the_message(message: Message) -> None:
    """The cheap picture taken on the agent's thread loses nothing."""
    assert from_langchain(thaw(take(to_langchain(message)))) == message


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (SystemMessage("x"), "system"),
        (HumanMessage("x"), "user"),
        (AIMessage("x"), "assistant"),
        (AIMessageChunk(content="x"), "assistant"),
        (ToolMessage("x", tool_call_id="c"), "tool"),
        (FunctionMessage("x", name="f"), "tool"),
        (ChatMessage("x", role="developer"), "system"),
        (ChatMessage("x", role="Assistant"), "assistant"),
        (ChatMessage("x", role="critic"), "user"),
    ],
)
def test_every_kind_of_message_has_a_role(message: BaseMessage, role: str) -> None:
    """Also those of older versions."""
    assert from_langchain(message).role == role
    assert from_langchain(message).content == "x"


def test_content_blocks_become_text_and_reasoning() -> None:
    """Text is joined, reasoning set apart, calls not repeated, an image marked by its type."""
    message = AIMessage(
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "One "},
            "two",
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
            {"type": "image_url", "image_url": {"url": "data:…"}},
        ],
        tool_calls=[{"name": "f", "args": {}, "id": "c"}],
    )
    converted = from_langchain(message)
    assert (converted.content, converted.reasoning) == ("One two[image_url]", "Hm.")
    assert converted.tool_calls == (ToolCall("c", "f", {}),)


@pytest.mark.parametrize(
    ("content", "extra"),
    [
        ([{"type": "reasoning", "reasoning": "Hm."}], {}),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}], {}),
        ([{"type": "reasoning_content", "reasoning_content": {"text": "Hm."}}], {}),
        ("", {"reasoning_content": "Hm."}),
        ("", {"reasoning": "Hm."}),
        ("", {"reasoning": {"summary": [{"text": "Hm."}]}}),
    ],
)
def test_reasoning_is_found_wherever_a_provider_puts_it(content: Any, extra: dict[str, Any]) -> None:
    """Blocks and additional_kwargs."""
    assert from_langchain(AIMessage(content, additional_kwargs=extra)).reasoning == "Hm."


def test_a_legacy_function_call_is_a_tool_call() -> None:
    """OpenAI's form before tools."""
    message = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1}'}})
    assert from_langchain(message).tool_calls == (ToolCall("", "f", {"a": 1}),)


def test_tools_are_read_in_every_providers_form() -> None:
    """OpenAI's two forms, Anthropic's, Gemini's, a built-in one, and Python objects."""

    @tool
    def add(a: int) -> int:
        """Add one."""
        return a + 1

    class Shop(BaseModel):
        """Find a shop."""

        city: str

    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}
    function = {"name": "add", "description": "Add one.", "parameters": parameters}
    wanted = ToolSchema("add", "Add one.", parameters)
    assert tool_schemas([{"type": "function", "function": function}]) == [wanted]
    assert tool_schemas([{"type": "function", **function}]) == [wanted]
    anthropic = {"name": "add", "description": "Add one.", "input_schema": parameters}
    assert tool_schemas([anthropic]) == [wanted]
    assert tool_schemas([{"function_declarations": [function]}]) == [wanted]
    assert tool_schemas([{"type": "web_search"}]) == [ToolSchema("web_search")]
    assert [schema.name for schema in tool_schemas([add, Shop])] == ["add", "Shop"]
    assert offered_tools({"functions": [function]}) == [wanted]
    assert offered_tools({"tools": None}) == []


def test_any_tool_result_has_a_text() -> None:
    """Text as it is, blocks joined, objects as JSON, the rest as Python prints it."""
    assert content_text("x") == "x"
    assert content_text([{"type": "text", "text": "x"}]) == "x"
    assert content_text({"ü": 1}) == '{"ü": 1}'
    assert content_text(None) == ""
    assert content_text({1, 2}) == "{1, 2}"


def test_only_the_latest_rounds_results_are_trailing() -> None:
    """In states, lists, commands and single messages; other outputs have none."""

    class Command:
        def __init__(self, update: Any) -> None:
            self.update = update

    old, new = ToolMessage("1", tool_call_id="old"), ToolMessage("2", tool_call_id="new")
    history = [HumanMessage("x"), AIMessage(""), old, AIMessage(""), new]

    def ids(output: Any) -> list[str]:
        return [fields["tool_call_id"] for _, fields in trailing_tool_messages(output)]

    assert ids(history) == ids({"messages": history}) == ids([Command({"messages": history})]) == ["new"]
    assert ids(new) == ids([new]) == ids({"messages": [new]}) == ids(Command({"messages": [new]})) == ["new"]
    assert ids([*history, HumanMessage("and?")]) == ["new"]
    assert ids([*history, AIMessage("3")]) == []
    assert ids(None) == ids("text") == ids({"x": 1}) == ids(list(range(10))) == []
