"""Long prompts and long contents take no longer than their rendering does."""

from __future__ import annotations

import time
from typing import Any

from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.prompt.chat_template import choose_template
from flashtrace_agent.prompt.leaves import find_leaves
from flashtrace_agent.prompt.markers import locate_leaves
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.segmentation import prompt_segments
from flashtrace_agent.prompt.template_messages import template_messages
from tests.tiling import check_tiling

from ..pace import processor_seconds
from .conversations import CLOCK, WEATHER


def test_a_very_long_tool_result(byte_tokenizer: Any, qwen_template: str) -> None:
    """Ten megabytes: what is done once per character is done in C."""
    result = ("line of a log, with {braces} and é\n" * 300_000)[:10_000_000]
    messages = [Message("user", "Read it."), Message("tool", result, tool_call_id="1")]
    loop = processor_seconds(lambda: sum(character == "{" for character in result))
    before = time.process_time()
    conversation = {"messages": template_messages(messages, qwen_template), "tools": []}
    pieces, leaves = find_leaves(messages, conversation)
    template = choose_template(byte_tokenizer, messages, [], chat_template=qwen_template)
    text = template.render(messages, [])
    ranges, unmarked = locate_leaves(template, conversation, leaves, text)
    assert time.process_time() - before < 40 * loop
    assert (len(pieces), unmarked) == (2, set())
    assert text[slice(*ranges[1][0])] == result.strip()


def test_a_long_prompt_takes_about_as_long_as_its_rendering(merging_tokenizer: Any) -> None:
    """Over a hundred thousand tokens in a thousand messages."""
    messages = [Message("system", "Obey.")]
    for index in range(250):
        messages += [
            Message("user", f"Question {index}? " * 10),
            Message("assistant", tool_calls=(ToolCall(str(index), "clock", {"a": f"{index}"}),)),
            Message("tool", '{"result": "so it is"}\n' * 15, tool_call_id=str(index)),
            Message("assistant", "It is so. " * 10),
        ]
    begun = time.process_time()
    ids = render_prompt(merging_tokenizer, messages, [WEATHER, CLOCK]).ids
    rendered = time.process_time()
    assert len(ids) > 100_000
    segments = prompt_segments(merging_tokenizer, messages, [WEATHER, CLOCK], ids)
    assert time.process_time() - rendered < 10 * (rendered - begun)
    check_tiling(segments, len(ids))
    assert sum(segment.name == "user" for segment in segments) == 250
