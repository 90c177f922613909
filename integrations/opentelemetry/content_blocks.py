"""Content blocks in one form: those of Bedrock's Converse API are named by a key, all others by ``type``.

Strands and other agents of the AWS world write them, as JSON text inside attributes and events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .values import mapping, parsed

_KEYS = ("text", "toolUse", "toolResult", "reasoningContent")


def typed_blocks(content: Any) -> Any:
    """Return content blocks, also those written as JSON text, each with a ``type``.

    Any other content comes back as it is.
    """
    found = parsed(content) if isinstance(content, str) and content.lstrip().startswith("[") else content
    if isinstance(found, list) and found and all(map(_is_block, found)):
        return [_typed(block) for block in found]
    return content


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping) and (
        "type" in value or (len(value) == 1 and next(iter(value)) in _KEYS)
    )


def _typed(block: Mapping[str, Any]) -> dict[str, Any]:
    if block.get("type") == "reasoningContent":
        return {"type": "reasoning", "text": _thought(block.get("content"))}
    if "type" in block:
        return dict(block)
    if "toolUse" in block:
        use = mapping(block["toolUse"])
        return {
            "type": "tool_use",
            "id": use.get("toolUseId"),
            "name": use.get("name"),
            "input": use.get("input"),
        }
    if "toolResult" in block:
        result = mapping(block["toolResult"])
        return {
            "type": "tool_result",
            "tool_use_id": result.get("toolUseId"),
            "content": typed_blocks(result.get("content")),
            "is_error": result.get("status") == "error",
        }
    if "reasoningContent" in block:
        return {"type": "reasoning", "text": _thought(block["reasoningContent"])}
    return {"type": "text", **block}


def _thought(value: Any) -> str:
    text = mapping(mapping(value).get("reasoningText")).get("text")
    return text if isinstance(text, str) else ""
