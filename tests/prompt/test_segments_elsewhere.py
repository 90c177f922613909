"""Prompts that were not rendered here: by another template, on another day, cut off, normalised."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.segmentation import prompt_segments

from . import conversations
from .conversations import CLOCK, CONVERSATION, WEATHER
from .cutting import cut, named, relaxed, render_and_cut


def test_a_prompt_cut_off_by_the_server(byte_tokenizer: Any) -> None:
    """What is left of a prompt that was too long keeps its names."""
    ids = render_prompt(byte_tokenizer, CONVERSATION, [WEATHER]).ids
    whole = named(cut(byte_tokenizer, prompt_segments(byte_tokenizer, CONVERSATION, [WEATHER], ids), ids))
    for left in (ids[100:], ids[:-100]):
        segments = prompt_segments(byte_tokenizer, CONVERSATION, [WEATHER], left)
        pieces = named(cut(byte_tokenizer, segments, left))
        assert len(pieces) >= len(whole) - 3
        assert set(pieces) <= set(whole)


@relaxed
@given(messages=conversations.messages(), tools=conversations.tools)
def test_ids_of_another_rendering_tile(
    byte_tokenizer: Any, llama_template: str, messages: list[Message], tools: list[ToolSchema]
) -> None:
    """Ids that another template made are searched for the contents."""
    ids = render_prompt(byte_tokenizer, messages, tools).ids
    cut(
        byte_tokenizer,
        prompt_segments(byte_tokenizer, messages, tools, ids, chat_template=llama_template),
        ids,
    )


@relaxed
@given(messages=conversations.messages(), text=st.text())
def test_ids_of_something_else_tile(byte_tokenizer: Any, messages: list[Message], text: str) -> None:
    """Even ids that have nothing to do with the conversation tile."""
    ids = byte_tokenizer(text, add_special_tokens=False)["input_ids"]
    cut(byte_tokenizer, prompt_segments(byte_tokenizer, messages, [WEATHER], ids), ids)


def test_another_process_rendered_with_another_template(
    byte_tokenizer: Any, llama_template: str, qwen_template: str
) -> None:
    """Every piece is found in ids of a template that is not known here."""
    ids = render_prompt(byte_tokenizer, CONVERSATION, [WEATHER, CLOCK], chat_template=qwen_template).ids
    expected = named(
        cut(
            byte_tokenizer,
            prompt_segments(byte_tokenizer, CONVERSATION, [WEATHER, CLOCK], ids, chat_template=qwen_template),
            ids,
        )
    )
    # Llama's template refuses the two calls, so there is nothing rendered to compare with.
    segments = prompt_segments(
        byte_tokenizer, CONVERSATION, [WEATHER, CLOCK], ids, chat_template=llama_template
    )
    assert named(cut(byte_tokenizer, segments, ids)) == expected


def test_another_date(byte_tokenizer: Any, llama_template: str) -> None:
    """A prompt rendered on another day is cut the same."""
    messages = [Message("system", "2024"), Message("user", "Jul")]
    then = render_prompt(
        byte_tokenizer, messages, chat_template=llama_template, template_kwargs={"date_string": "1 May 2031"}
    )
    segments = prompt_segments(byte_tokenizer, messages, [], then.ids, chat_template=llama_template)
    assert named(cut(byte_tokenizer, segments, then.ids)) == [("system", 0, "2024"), ("user", 1, "Jul")]


def test_normalised_characters(qwen_tokenizer: Any) -> None:
    """Qwen's tokenizer composes characters, so its ids say ``é`` where ``e`` and an accent were sent."""
    messages = [Message("system", "cafe\u0301 " * 20), Message("user", "e\u0301?"), Message("user", "no")]
    pieces = named(render_and_cut(qwen_tokenizer, messages, [WEATHER]))
    assert [(name, text.strip()) for name, _, text in pieces if name != "tool_schema:weather"] == [
        ("system", unicodedata.normalize("NFC", messages[0].content).strip()),
        ("user", "é?"),
        ("user", "no"),
    ]
