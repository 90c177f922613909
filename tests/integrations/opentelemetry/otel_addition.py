"""An agent that adds twice at once: its messages, and its calls as OpenAI's clients send them."""

from __future__ import annotations

import json
from typing import Any

from flashtrace_agent.message import Message, ToolCall, ToolSchema

SCHEMA = ToolSchema("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
ONE, TWO = {"a": 1}, {"a": 2}
QUESTION = Message("user", "1 and 2?")
CALLS = (ToolCall("c1", "add", ONE), ToolCall("c2", "add", TWO))
RESULTS = [Message("tool", "two", tool_call_id="c1"), Message("tool", "three", tool_call_id="c2")]


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
