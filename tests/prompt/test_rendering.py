"""Prompts are rendered with what the model really needs to see, and tokenized once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.integrations.importing import read_file
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.prompt.chat_template import bundled_template
from flashtrace_agent.prompt.difference import rendering_difference
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.trace import Step, utc_now

from .conftest import PLAIN_CHATML
from .conversations import CLOCK, CONVERSATION, EXAMPLE, WEATHER


def test_a_template_that_shows_tools_is_used(byte_tokenizer: Any, qwen_template: str) -> None:
    """Qwen3's template lists the tools, so it is kept."""
    rendered = render_prompt(byte_tokenizer, CONVERSATION, [WEATHER], chat_template=qwen_template)
    assert json.dumps(WEATHER.to_openai()) in rendered.text
    assert rendered.template_hash == hashlib.sha256(qwen_template.encode()).hexdigest()


def test_plain_chatml_stays_where_there_are_no_tools(byte_tokenizer: Any) -> None:
    """The tokenizer's own template needs no replacement for a chat."""
    rendered = render_prompt(byte_tokenizer, [Message("user", "Hi")])
    assert rendered.text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert rendered.template_hash == hashlib.sha256(PLAIN_CHATML.encode()).hexdigest()
    assert rendered.chat_template is None


def test_the_bundled_template_replaces_one_that_leaves_tools_out(byte_tokenizer: Any) -> None:
    """Plain ChatML says nothing of tools; the bundled template shows them, calls and results."""
    rendered = render_prompt(byte_tokenizer, CONVERSATION, [WEATHER, CLOCK])
    assert rendered.chat_template == bundled_template()
    assert json.dumps(WEATHER.to_openai()) in rendered.text
    assert rendered.text.startswith("<|im_start|>system\nYou are terse.\n\n# Tools\n")
    assert '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>' in rendered.text
    assert rendered.text.endswith(
        "<|im_start|>user\n<tool_response>\n-3 degrees\n</tool_response>\n"
        "<tool_response>\nnoon\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("tools", [[], [WEATHER]])
def test_calls_in_the_history_need_a_template_too(byte_tokenizer: Any, tools: list[ToolSchema]) -> None:
    """Without tools on offer, earlier calls must still not vanish."""
    messages = [Message("user", "Hi"), Message("assistant", tool_calls=(ToolCall("1", "clock", {}),))]
    assert '{"name": "clock", "arguments": {}}' in render_prompt(byte_tokenizer, messages, tools).text


def test_bundled_template_shows_reasoning_where_it_is_needed(byte_tokenizer: Any) -> None:
    """Examples and the turn at work keep their reasoning; finished turns lose it."""
    text = render_prompt(byte_tokenizer, CONVERSATION, [WEATHER]).text
    assert "<think>\nI need the weather.\n</think>\n\n<tool_call>" in text
    assert "<think>\nUlm, then.\n</think>\n\n<tool_call>" in text
    assert "A greeting." not in text


def test_bundled_template_without_a_system_message(byte_tokenizer: Any) -> None:
    """The tools get a system message of their own."""
    text = render_prompt(byte_tokenizer, [Message("user", "Hi")], [CLOCK]).text
    assert text.startswith("<|im_start|>system\n# Tools\n")
    assert text.count("<|im_start|>system") == 1


def test_a_model_without_chatml_is_told_to_bring_a_template(sentencepiece_tokenizer: Any) -> None:
    """The bundled template would be noise to such a model."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=type(sentencepiece_tokenizer.backend_tokenizer).from_str(
            sentencepiece_tokenizer.backend_tokenizer.to_str().replace("<|im_start|>", "<|turn|>")
        ),
        chat_template=PLAIN_CHATML,
    )
    with pytest.raises(FlashTraceError, match="leaves the tools out: pass chat_template="):
        render_prompt(tokenizer, [Message("user", "Hi")], [CLOCK])
    tokenizer.chat_template = None
    with pytest.raises(FlashTraceError, match="no chat template: pass chat_template="):
        render_prompt(tokenizer, [Message("user", "Hi")])


def test_a_tokenizer_without_template_but_with_chatml(wordpiece_tokenizer: Any) -> None:
    """The bundled template fits every model that speaks ChatML."""
    assert render_prompt(wordpiece_tokenizer, [Message("user", "play")]).chat_template == bundled_template()


def test_a_refusal_is_explained(byte_tokenizer: Any, llama_template: str) -> None:
    """Llama-3.1 takes one call a turn and says so."""
    with pytest.raises(FlashTraceError, match="single tool-calls"):
        render_prompt(byte_tokenizer, CONVERSATION, [WEATHER], chat_template=llama_template)


def test_template_variables_reach_the_template(byte_tokenizer: Any, qwen_template: str) -> None:
    """``enable_thinking`` changes Qwen3's prompt and is recorded."""
    rendered = render_prompt(
        byte_tokenizer,
        [Message("user", "Hi")],
        chat_template=qwen_template,
        template_kwargs={"enable_thinking": False},
    )
    assert rendered.text.endswith("<think>\n\n</think>\n\n")
    assert rendered.template_kwargs == {"enable_thinking": False}


def test_todays_date_is_pinned(byte_tokenizer: Any) -> None:
    """A template that prints the date gives the same prompt again with the recorded one."""
    template = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "Today: {{ date_string }}. {{ messages[0].content }}"
    )
    rendered = render_prompt(byte_tokenizer, [Message("user", "Hi")], chat_template=template)
    assert rendered.template_kwargs["date_string"] in rendered.text
    past = render_prompt(
        byte_tokenizer,
        [Message("user", "Hi")],
        chat_template=template,
        template_kwargs={"date_string": "26 Jul 2024"},
    )
    assert past.text == "Today: 26 Jul 2024. Hi"


def test_llama_does_not_announce_tools_that_are_none(byte_tokenizer: Any, llama_template: str) -> None:
    """An empty list would print ``Environment: ipython``."""
    text = render_prompt(byte_tokenizer, [Message("user", "Hi")], chat_template=llama_template).text
    assert "ipython" not in text


def test_the_end_of_the_prompt_can_be_left_out(byte_tokenizer: Any) -> None:
    """Without the generation prompt the last message ends the text."""
    rendered = render_prompt(byte_tokenizer, [Message("user", "Hi")], add_generation_prompt=False)
    assert rendered.text == "<|im_start|>user\nHi<|im_end|>\n"


def test_half_characters_can_be_rendered(byte_tokenizer: Any) -> None:
    """A lone surrogate in a tool's result would stop the tokenizer."""
    messages = [
        Message("user", "Hi \ud83d"),
        Message("assistant", tool_calls=(ToolCall("1", "clock", {"\ud83d": ["\ud83d"]}),)),
    ]
    rendered = render_prompt(byte_tokenizer, messages, [CLOCK])
    assert "Hi �" in rendered.text
    assert TokenText(byte_tokenizer, rendered.ids).text == rendered.text


def test_reasoning_goes_where_the_template_reads_it(byte_tokenizer: Any) -> None:
    """As a key of its own, inside the content, or nowhere."""
    messages = [EXAMPLE[0], Message("assistant", "Yes.", reasoning="Hm.")]
    loop = "{% for m in messages %}"
    for template, text in [
        (loop + "{{ m.reasoning_content }}|{{ m.content }};{% endfor %}", "Hm.|Yes."),
        (loop + "{{ m['thinking'] }}|{{ m.content }};{% endfor %}", "Hm.|Yes."),
        (loop + "{{ m.content.replace('</think>', '') }};{% endfor %}", "<think>\nHm.\n\n\nYes."),
        (loop + "{{ m.content }};{% endfor %}", ";Yes."),
    ]:
        assert text in render_prompt(byte_tokenizer, messages, chat_template=template).text


def test_recorded_prompts_are_reproduced(shared: Path, qwen_tokenizer: Any) -> None:
    """Every turn of real agent runs renders to its recorded ids, from its messages and tools alone.

    The recording model's template is that of Qwen3 but for an opening ``<think>`` that it puts
    before the answer; that is the only difference, and it is stored.
    """
    for path in sorted((shared / "data" / "agentdojo").glob("*.json")):
        _, [imported] = read_file(path, qwen_tokenizer)
        for step in imported.trace.steps:
            if step.kind != "model":
                continue
            rendered = render_prompt(qwen_tokenizer, step.input, step.tools)
            opening = qwen_tokenizer("<think>\n")["input_ids"]
            assert rendered.ids + opening == step.prompt_ids
            difference = r"the recorded ids, but for '<think>\n' after them"
            assert rendering_difference(qwen_tokenizer, step) == step.settings["rendering"] == difference


def test_a_difference_is_put_into_words(qwen_tokenizer: Any) -> None:
    messages = [Message("user", "How many sofas?")]
    ids = render_prompt(qwen_tokenizer, messages).ids
    step = Step("s", "t", "model", "m", utc_now(), input=messages, prompt_ids=ids)
    assert rendering_difference(qwen_tokenizer, step) == ""
    step.input = [Message("user", "How many beds?")]
    said = rendering_difference(qwen_tokenizer, step)
    assert said.startswith(f"the same up to token 5 of {len(ids)}, then ' sofas?<|im_end|>")
    assert "was recorded and ' beds?<|im_end|>" in said
    step.settings["chat_template"] = "{{ raise_exception('no') }}"
    assert "cannot be rendered here" in rendering_difference(qwen_tokenizer, step)
