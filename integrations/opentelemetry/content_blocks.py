"""Content blocks in one form, whoever wrote them.

Most say what they are under ``type``. Bedrock's Converse API and Gemini name a block by a key, Pydantic AI
by ``kind``, and Vercel's AI SDK has words of its own for calls and results. In attributes and events they
may be JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .values import mapping, parsed

_KEYS = {
    "text",
    "toolUse",
    "toolResult",
    "reasoningContent",
    "function_call",
    "functionCall",
    "function_response",
    "functionResponse",
}
_BESIDE = {"thought", "thought_signature", "thoughtSignature"}
_KINDS = ("text", "thinking")


def typed_blocks(content: Any) -> Any:
    """Return content blocks, also those written as JSON text, each with a ``type``.

    Any other content comes back as it is.
    """
    found = parsed(content) if isinstance(content, str) and content.lstrip().startswith("[") else content
    if isinstance(found, list) and found and all(map(_is_block, found)):
        return [_typed(block) for block in found]
    return content


def _is_block(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return "type" in value or value.get("kind") in _KINDS or _key(value) is not None


def _key(block: Mapping[str, Any]) -> str | None:
    """Return the key that names a block; None where there is not exactly one."""
    said = {key for key, value in block.items() if value is not None} - _BESIDE
    return next(iter(said)) if len(said) == 1 and said <= _KEYS else None


def _typed(block: Mapping[str, Any]) -> dict[str, Any]:
    match block.get("type") or _key(block) or block.get("kind"):
        case "reasoningContent" as kind:
            return {"type": "reasoning", "text": _thought(block.get("content", block.get(kind)))}
        case "toolUse":
            use = mapping(block["toolUse"])
            return _call(use.get("toolUseId"), use.get("name"), use.get("input"))
        case "toolResult":
            result = mapping(block["toolResult"])
            content = typed_blocks(result.get("content"))
            return _result(result.get("toolUseId"), content, failed=result.get("status") == "error")
        case "function_call" | "functionCall" as key if key in block:
            use = mapping(block[key])
            return _call(use.get("id"), use.get("name"), use.get("args"))
        case "function_response" | "functionResponse" as key if key in block:
            result = mapping(block[key])
            return _result(result.get("id"), result.get("response"))
        case "tool-call":
            arguments = block.get("input", block.get("args"))
            return _call(block.get("toolCallId"), block.get("toolName"), arguments)
        case "tool-result":
            content, failed = _vercel_output(block.get("output", block.get("result")))
            return _result(block.get("toolCallId"), content, failed=failed)
        case "text" if block.get("thought") is True:
            return {"type": "reasoning", "text": block.get("text")}
        case kind:
            return {"type": kind, **block}


def _call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def _result(call_id: Any, content: Any, *, failed: bool = False) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": failed}


def _thought(value: Any) -> str:
    text = mapping(mapping(value).get("reasoningText")).get("text")
    return text if isinstance(text, str) else ""


def _vercel_output(output: Any) -> tuple[str, bool]:
    """Return a tool's output as the AI SDK shows it to a model, and whether it reports an error."""
    failed = False
    if isinstance(output, Mapping) and "value" in output and isinstance(output.get("type"), str):
        failed = output["type"].startswith("error")
        output = output["value"]
    if isinstance(output, str):
        return output, failed
    return json.dumps(output, ensure_ascii=False, separators=(",", ":"), default=str), failed
