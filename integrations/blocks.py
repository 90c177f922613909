"""Content blocks, roles, arguments, tool schemas and tags in the forms frameworks and providers write them.

LangChain's messages and the spans of OpenTelemetry instrumentations carry the same dicts, so
both integrations read them here. Nothing in this file raises on what it does not know: an odd
block becomes text, an odd schema a tool with a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from flashtrace_agent.message import Role, ToolCall, ToolSchema

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
}

# Blocks that repeat what `tool_calls` already says.
CALL_BLOCKS = frozenset(
    {
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "server_tool_call",
        "server_tool_call_chunk",
        "input_json_delta",
    }
)
_PARAMETERS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "parametersJsonSchema")
_LANGCHAINS_TAGS = ("seq:step:", "graph:step:", "langsmith:")
REASONING_BLOCKS = frozenset({"reasoning", "reasoning_content", "thinking", "redacted_thinking"})


def text_and_reasoning(content: str | Sequence[Any]) -> tuple[str, str | None]:
    """Return a message's content as its text and its reasoning, None where it has none."""
    if isinstance(content, str):
        return content, None
    text: list[str] = []
    thoughts: list[str] = []
    for block in content:
        if isinstance(block, str):
            text.append(block)
        elif not isinstance(block, Mapping):
            text.append(str(block))
        elif block_type(block) in REASONING_BLOCKS:
            thoughts.append(thought(block))
        elif block_type(block) not in CALL_BLOCKS:
            text.append(_block_text(block))
    return "".join(text), "".join(thoughts) or None


def block_type(block: Mapping[str, Any]) -> str:
    """Return what a block says it is; empty where it does not say."""
    kind = block.get("type")
    return kind if isinstance(kind, str) else ""


def thought(block: Mapping[str, Any]) -> str:
    """Return the text of a reasoning block."""
    for key in ("reasoning", "thinking", "reasoning_content", "text"):
        value = block.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):  # Bedrock: {"reasoning_content": {"text": …}}
            return str(value.get("text", ""))
    parts = block.get("summary") or block.get("content") or ()
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, Sequence):
        return ""
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def content_text(content: Any) -> str:
    """Return any tool result or content as text: blocks joined, other objects as JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return text_and_reasoning(content)[0]
    if content is None:
        return ""
    try:
        return json.dumps(content, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(content)


def read_arguments(text: Any) -> dict[str, Any] | str:
    """Return a call's arguments, written as JSON text, as a dict; the text where it is no object."""
    try:
        parsed = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return cast("str", text)
    return parsed if isinstance(parsed, dict) else cast("str", text)


def written_arguments(call: ToolCall) -> dict[str, Any] | str:
    """Return a call's arguments as the model wrote them."""
    return call.arguments if isinstance(call.arguments, str) else dict(call.arguments)


def users_tags(tags: Iterable[Any]) -> list[str]:
    """Return a run's tags, each once, without those that LangChain adds."""
    texts = (tag for tag in tags if isinstance(tag, str) and tag)
    return list(dict.fromkeys(tag for tag in texts if not tag.startswith(_LANGCHAINS_TAGS)))


def read_schema(tool: Mapping[str, Any]) -> ToolSchema:
    """Read a definition: OpenAI's, even unwrapped, Anthropic's, Gemini's, Bedrock's, a built-in tool."""
    function = tool.get("function", tool.get("toolSpec", tool))
    if not isinstance(function, Mapping):
        function = tool
    name = function.get("name") or tool.get("name") or tool.get("type") or "unknown"
    parameters: Any = next((function[key] for key in _PARAMETERS if function.get(key)), {})
    if isinstance(parameters, Mapping) and set(parameters) == {"json"}:  # Bedrock's wrapper
        parameters = parameters["json"]
    if isinstance(parameters, str):  # Gemini's declarations arrive as JSON text from some versions
        parameters = read_arguments(parameters)
    description = function.get("description")
    return ToolSchema(
        str(name),
        description if isinstance(description, str) else "",
        parameters if isinstance(parameters, Mapping) else {},
    )


def _block_text(block: Mapping[str, Any]) -> str:
    for key in ("text", "refusal", "content"):  # GenAI's parts have `content`
        if isinstance(block.get(key), str):
            return cast("str", block[key])
    if "json" in block:
        return json.dumps(block["json"], ensure_ascii=False, default=str)
    if "type" in block:
        return f"[{block['type']}]"  # an image, a file: a place in the text, without the bytes
    return json.dumps(dict(block), ensure_ascii=False, default=str)
