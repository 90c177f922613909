"""Tool calls and tool definitions in every form that spans carry them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flashtrace_agent.message import ToolCall, ToolSchema

from ..blocks import read_arguments, read_schema
from .values import first_text, listing, parsed


def read_call(call: Mapping[str, Any]) -> ToolCall:
    """Return a tool call of any framework's form."""
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    arguments: Any = next(
        (inner[key] for key in ("arguments", "args", "input", "parameters") if key in inner), {}
    )
    return ToolCall(
        # An item of the Responses API has an id too, but results name its call_id.
        id=first_text(call.get("call_id"), call.get("id"), call.get("tool_call_id")) or "",
        name=first_text(inner.get("name")) or "",
        arguments=call_arguments(arguments),
    )


def call_arguments(value: Any) -> dict[str, Any] | str:
    """Return a call's arguments: a dict, JSON text or a Python repr of one; else their text."""
    if isinstance(value, str):
        read = read_arguments(value)
        found = parsed(value) if isinstance(read, str) else read
        return found if isinstance(found, dict) else value
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return {} if value is None else json.dumps(value, ensure_ascii=False, default=str)


def read_tools(value: Any) -> list[ToolSchema]:
    """Return the tools a request offers: a list of definitions, each an object or JSON text."""
    schemas: list[ToolSchema] = []
    for item in listing(value):
        tool = parsed(item)
        if not isinstance(tool, dict):
            continue
        if "function_declarations" in tool:
            schemas += read_tools(tool["function_declarations"])
        elif isinstance(tool.get("json_schema"), str | dict):
            schemas += read_tools(tool["json_schema"])
        else:
            schemas.append(read_schema(tool))
    return schemas
