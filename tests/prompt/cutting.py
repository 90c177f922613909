"""Cutting prompts and steps up, and what must hold of the pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.segmentation import prompt_segments
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.segment import Segment
from flashtrace_agent.trace import Step
from tests.tiling import check_tiling

relaxed = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

Cut = list[tuple[str, int | None, str]]


def cut(tokenizer: Any, segments: list[Segment], ids: list[int]) -> Cut:
    """Check the tiling and return name, message and text of each segment."""
    check_tiling(segments, len(ids))
    return [
        (segment.name, segment.message, TokenText(tokenizer, ids[segment.span.start : segment.span.end]).text)
        for segment in segments
    ]


def render_and_cut(
    tokenizer: Any, messages: list[Message], tools: list[ToolSchema], template: str | None = None
) -> Cut:
    """Render a conversation, cut it up, and return name, message and text of each segment."""
    ids = render_prompt(tokenizer, messages, tools, chat_template=template).ids
    return cut(tokenizer, prompt_segments(tokenizer, messages, tools, ids, chat_template=template), ids)


def named(pieces: Cut) -> list[tuple[str, int | None, str]]:
    """Return the pieces that are not the template's."""
    return [piece for piece in pieces if piece[0] != "template"]


def schema(tool: ToolSchema, **layout: Any) -> tuple[str, None, str]:
    return f"tool_schema:{tool.name}", None, json.dumps(tool.to_openai(), **layout)


def call(name: str, city: str) -> str:
    return json.dumps({"name": name, "arguments": {"city": city}})


def check_contents(messages: list[Message], pieces: Cut, printed: Callable[[Message], str]) -> None:
    """Assert that each system, user and tool message's content is one segment, as it is printed."""
    roles = ("system", "user", "tool")
    results = 0
    expected: list[tuple[str, str]] = []
    for message in messages:
        results += message.role == "tool"
        if message.role in roles and not message.example and message.content.strip():
            name = (
                f"tool_result:{message.tool_call_id or results}" if message.role == "tool" else message.role
            )
            expected.append((name, printed(message)))
    found = [(name, text) for name, _, text in pieces if name.split(":")[0] in (*roles, "tool_result")]
    assert found == expected


def make_step(
    tokenizer: Any, messages: list[Message], tools: list[ToolSchema], written: str, prefill: str = ""
) -> Step:
    """Return a model step with the ids of its rendered prompt and what was written."""
    prompt = render_prompt(tokenizer, messages, tools)
    return Step(
        "s",
        "t",
        "model",
        "model",
        datetime(2026, 1, 1, tzinfo=UTC),
        input=messages,
        tools=tools,
        prompt_ids=prompt.ids + tokenizer(prefill, add_special_tokens=False)["input_ids"],
        completion_ids=tokenizer(written, add_special_tokens=False)["input_ids"],
    )
