"""Segments tile any conversation, in any template."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.segmentation import prompt_segments

from . import conversations
from .cutting import check_contents, cut, relaxed, render_and_cut


@relaxed
@given(messages=conversations.messages(), tools=conversations.tools)
def test_any_conversation_tiles(
    byte_tokenizer: Any, messages: list[Message], tools: list[ToolSchema]
) -> None:
    """In the bundled template every content, whitespace included, is exactly its segment."""
    pieces = render_and_cut(byte_tokenizer, messages, tools)
    assert "".join(text for _, _, text in pieces) == render_prompt(byte_tokenizer, messages, tools).text
    check_contents(messages, pieces, lambda message: message.content)


@relaxed
@given(messages=conversations.messages(), tools=conversations.tools)
def test_any_conversation_tiles_in_qwens_template(
    byte_tokenizer: Any, qwen_template: str, messages: list[Message], tools: list[ToolSchema]
) -> None:
    """The same in Qwen3's template, which looks at contents."""
    pieces = render_and_cut(byte_tokenizer, messages, tools, qwen_template)
    check_contents(messages, pieces, lambda message: message.content)


@relaxed
@given(messages=conversations.messages(most_calls=1), tools=conversations.tools)
def test_any_conversation_tiles_in_llamas_template(
    byte_tokenizer: Any, llama_template: str, messages: list[Message], tools: list[ToolSchema]
) -> None:
    """The same in Llama-3.1's template, which trims, and quotes tool results."""
    pieces = render_and_cut(byte_tokenizer, messages, tools, llama_template)

    def printed(message: Message) -> str:
        if message.role == "tool":
            return json.dumps(message.content, ensure_ascii=False)[1:-1]
        return message.content.strip()

    check_contents(messages, pieces, printed)


LIKE_QWEN25 = """{%- set own = messages and messages[0].role == 'system' -%}
<|im_start|>system
{{ messages[0].content if own else 'You are a helpful model.' }}
{%- if tools %}\n\n# Tools\n
{%- for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n</tools>{% endif -%}
<|im_end|>\n
{%- for m in messages %}
{%- if m.role == 'tool' %}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif -%}
{{ '\n<tool_response>\n' + m.content + '\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}
{%- elif not (loop.first and own) %}
{{- '<|im_start|>' + m.role }}{% if m.content or not m.tool_calls %}{{ '\n' + m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}
{{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}{{ '}\n</tool_call>' }}
{%- endfor %}{{ '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
"""A template with the traits of Qwen2.5's: a system message where there is none, results gathered in one
user turn, no reasoning."""


@relaxed
@given(messages=conversations.messages(), tools=conversations.tools)
def test_any_conversation_tiles_in_a_template_like_qwen25s(
    byte_tokenizer: Any, messages: list[Message], tools: list[ToolSchema]
) -> None:
    """A system message that the template makes up is the template's."""
    pieces = render_and_cut(byte_tokenizer, messages, tools, LIKE_QWEN25)
    check_contents(messages, pieces, lambda message: message.content)


VARIABLES: list[dict[str, Any]] = [
    {},
    {"enable_thinking": True},
    {"enable_thinking": False},
    {"date_string": "1 May 2031"},
    {"tools_in_user_message": False},
]


@relaxed
@given(
    messages=conversations.messages(most_calls=1),
    tools=conversations.tools,
    variables=st.sampled_from(VARIABLES),
    template=st.sampled_from(["qwen_template", "llama_template"]),
    prefilled=st.sampled_from(["", "<think>\n", "{"]),
)
def test_any_conversation_tiles_with_any_variables(
    byte_tokenizer: Any,
    request: pytest.FixtureRequest,
    messages: list[Message],
    tools: list[ToolSchema],
    variables: dict[str, Any],
    template: str,
    prefilled: str,
) -> None:
    """Thinking on and off, dates, tools beside the system message, and an answer begun by the server."""
    source: str = request.getfixturevalue(template)
    rendered = render_prompt(byte_tokenizer, messages, tools, chat_template=source, template_kwargs=variables)
    ids = rendered.ids + byte_tokenizer(prefilled, add_special_tokens=False)["input_ids"]
    segments = prompt_segments(
        byte_tokenizer, messages, tools, ids, chat_template=source, template_kwargs=variables
    )
    pieces = cut(byte_tokenizer, segments, ids)
    assert "".join(text for _, _, text in pieces) == rendered.text + prefilled
    trims = template == "llama_template"

    def printed(message: Message) -> str:
        if trims and message.role == "tool":
            return json.dumps(message.content, ensure_ascii=False)[1:-1]
        return message.content.strip() if trims else message.content

    check_contents(messages, pieces, printed)


@relaxed
@given(messages=conversations.messages(), tools=conversations.tools)
def test_straddling_tokens_go_to_the_message(
    merging_tokenizer: Any, messages: list[Message], tools: list[ToolSchema]
) -> None:
    """With tokens longer than a byte a segment has its whole content, and at most a token more."""
    ids = render_prompt(merging_tokenizer, messages, tools).ids
    segments = prompt_segments(merging_tokenizer, messages, tools, ids)
    for segment, (_, _, text) in zip(segments, cut(merging_tokenizer, segments, ids), strict=True):
        if segment.message is not None and messages[segment.message].role != "assistant":
            content = messages[segment.message].content
            assert content.strip() in text
            assert text.strip() in content or len(text) < len(content) + 20
