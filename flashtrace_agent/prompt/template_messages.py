"""Messages and tool schemas in the form chat templates read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flashtrace_agent.message import Message, ToolCall, ToolSchema

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(value: Any) -> Any:
    """Replace lone surrogates, which no tokenizer accepts, anywhere in a JSON-like value."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("�", value)
    if isinstance(value, Mapping):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    return value


def template_tools(tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    """Return the schemas as OpenAI functions."""
    return [encodable(tool.to_openai()) for tool in tools]


def template_messages(messages: Sequence[Message], template: str) -> list[dict[str, Any]]:
    """Return the messages as the dicts that the Jinja source `template` expects.

    Calls come in OpenAI's form with their arguments as a dict, because most templates would
    quote a text a second time. Reasoning goes where the template looks for it. A worked
    example's messages carry ``example: True``.
    """
    place = _place_of_reasoning(template)
    names: dict[str, str] = {}
    converted: list[dict[str, Any]] = []
    for message in messages:
        data: dict[str, Any] = {"role": message.role, "content": encodable(message.content)}
        if message.reasoning and message.role == "assistant":
            reasoning = encodable(message.reasoning)
            if place == "content":
                data["content"] = f"<think>\n{reasoning}\n</think>\n\n{data['content']}"
            else:
                data[place] = reasoning
        if message.tool_calls:
            data["tool_calls"] = [_template_call(call) for call in message.tool_calls]
            names.update((call.id, call.name) for call in message.tool_calls)
        if message.role == "tool":
            # Only here: elsewhere frameworks add a name between output and re-sending.
            name = message.name or names.get(message.tool_call_id or "")
            if name:
                data["name"] = encodable(name)
            if message.tool_call_id is not None:
                data["tool_call_id"] = message.tool_call_id
        if message.example:
            data["example"] = True
        converted.append(data)
    return converted


def _place_of_reasoning(template: str) -> str:
    """Return the key a template reads reasoning from; ``content`` if it expects it in there."""
    if "reasoning_content" in template:
        return "reasoning_content"
    if re.search(r"\w\.thinking\b|\[.thinking.\]|.thinking. in \w", template):
        return "thinking"
    return "content" if "</think>" in template else "reasoning_content"


def _template_call(call: ToolCall) -> dict[str, Any]:
    arguments: Any = call.arguments
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            parsed = None
        arguments = parsed if isinstance(parsed, dict) else arguments
    function = {"name": encodable(call.name), "arguments": encodable(arguments)}
    return {"id": call.id, "type": "function", "function": function}
