"""LangChain messages and tools to the project's own types.

What a model can see of a message is kept: its text, its reasoning, its tool calls (malformed
ones too) and the status of a tool's result. Message ids, response metadata and usage are not
part of a conversation and are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.utils.function_calling import convert_to_openai_tool

from flashtrace_agent.message import Message, Role, ToolCall, ToolSchema

from ..blocks import ROLES, read_arguments, read_schema, text_and_reasoning, thought


def from_langchain(message: BaseMessage) -> Message:
    """Return the message as the project's own type; the original is not touched."""
    role = _role(message)
    text, reasoning = text_and_reasoning(message.content)
    return Message(
        role=role,
        content=text,
        reasoning=_reasoning(message, reasoning) if role == "assistant" else None,
        tool_calls=_tool_calls(message) if isinstance(message, AIMessage) else (),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        name=message.name or None,
        status="error" if getattr(message, "status", None) == "error" else "ok",
        example=_is_example(message),
    )


def tool_schemas(tools: Iterable[Any]) -> list[ToolSchema]:
    """Read the tools a chat model was given, in whatever provider's form.

    OpenAI (with and without its ``function`` wrapper), Anthropic (``input_schema``), Gemini
    (``function_declarations``), a server's built-in tool (only a ``type``), and tool objects
    or functions, as `bind_tools` takes them, are understood.
    """
    schemas: list[ToolSchema] = []
    for tool in tools:
        if not isinstance(tool, Mapping):
            schemas.append(ToolSchema.from_openai(convert_to_openai_tool(tool)))
        elif "function_declarations" in tool:
            schemas.extend(tool_schemas(tool["function_declarations"]))
        else:
            schemas.append(read_schema(tool))
    return schemas


def offered_tools(params: Mapping[str, Any]) -> list[ToolSchema]:
    """Return the tools in a chat model's ``invocation_params``, empty where there are none."""
    return tool_schemas(params.get("tools") or params.get("functions") or ())


def _role(message: BaseMessage) -> Role:
    match message:
        case SystemMessage():
            return "system"
        case HumanMessage():
            return "user"
        case AIMessage():
            return "assistant"
        case ToolMessage() | FunctionMessage():
            return "tool"
        case ChatMessage():
            return ROLES.get(message.role.lower(), "user")
        case _:
            return ROLES.get(message.type, "user")


def _reasoning(message: BaseMessage, from_blocks: str | None) -> str | None:
    if from_blocks is not None:
        return from_blocks
    for key in ("reasoning_content", "reasoning"):
        value = message.additional_kwargs.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):  # OpenAI's Responses API before content blocks
            return thought(value) or None
    return None


def _tool_calls(message: AIMessage) -> tuple[ToolCall, ...]:
    calls = [
        ToolCall(id=call["id"] or "", name=call["name"], arguments=call["args"])
        for call in message.tool_calls
    ]
    calls += [
        ToolCall(id=call["id"] or "", name=call["name"] or "", arguments=call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    legacy = message.additional_kwargs.get("function_call")
    if not calls and isinstance(legacy, Mapping):
        calls.append(ToolCall("", str(legacy.get("name", "")), read_arguments(legacy.get("arguments", ""))))
    return tuple(calls)


def _is_example(message: BaseMessage) -> bool:
    return bool(message.additional_kwargs.get("example")) or (message.name or "").startswith("example")
