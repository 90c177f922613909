"""Segments tile every step, and each holds exactly the text it is named for."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashtrace_agent.completion import parse_completion
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.prompt.chat_template import choose_template
from flashtrace_agent.prompt.leaves import find_leaves
from flashtrace_agent.prompt.markers import locate_leaves
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.segmentation import prompt_segments, step_segments
from flashtrace_agent.prompt.template_messages import template_messages
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.segment import Segment, check_tiling
from flashtrace_agent.trace import Step

from ..pace import processor_seconds
from . import conversations
from .conversations import CLOCK, CONVERSATION, EXAMPLE, WEATHER

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


def test_every_piece_is_named(byte_tokenizer: Any) -> None:
    """A conversation with everything in it, in the bundled template."""
    assert named(render_and_cut(byte_tokenizer, CONVERSATION, [WEATHER, CLOCK])) == [
        ("system", 0, "You are terse."),
        schema(WEATHER),
        schema(CLOCK),
        ("example:1", 1, "Is it warm in Bonn?"),
        ("example:1", 2, "I need the weather."),
        ("example:1", 2, call("weather", "Bonn")),
        ("example:1", 3, "21 degrees"),
        ("example:1", 4, "Yes, it is."),
        ("example:2", 5, "Time for tea?"),
        ("example:2", 6, "Always."),
        ("user", 7, "Hello!"),
        ("assistant", 8, "Hello."),
        ("user", 9, "And in Ulm?"),
        ("reasoning", 10, "Ulm, then."),
        ("tool_call:weather", 10, call("weather", "Ulm")),
        ("tool_call:clock", 10, '{"name": "clock", "arguments": {}}'),
        ("tool_result:1", 11, "-3 degrees"),
        ("tool_result:3", 12, "noon"),
    ]


def test_the_template_has_the_rest(byte_tokenizer: Any) -> None:
    """Role headers and tags are template tokens, without a message."""
    pieces = render_and_cut(byte_tokenizer, [Message("user", "Hi")], [])
    assert pieces == [
        ("template", None, "<|im_start|>user\n"),
        ("user", 0, "Hi"),
        ("template", None, "<|im_end|>\n<|im_start|>assistant\n"),
    ]


def test_qwen_keeps_reasoning_of_this_turn_only(byte_tokenizer: Any, qwen_template: str) -> None:
    """What the template leaves out has no segment."""
    pieces = render_and_cut(byte_tokenizer, CONVERSATION, [WEATHER], qwen_template)
    assert schema(WEATHER) in pieces
    assert ("reasoning", 10, "Ulm, then.") in pieces
    assert ("tool_call:clock", 10, '{"name": "clock", "arguments": {}}') in pieces


def test_llama_prints_schemas_with_the_first_user_message(byte_tokenizer: Any, llama_template: str) -> None:
    """Schemas over many lines, calls with "parameters", results in quotes."""
    messages = [Message("system", "Be brief."), *EXAMPLE, Message("user", "\n\nAnd in Ulm? ")]
    assert named(render_and_cut(byte_tokenizer, messages, [WEATHER, CLOCK], llama_template)) == [
        ("system", 0, "Be brief."),
        schema(WEATHER, indent=4),
        schema(CLOCK, indent=4),
        ("example:1", 1, "Is it warm in Bonn?"),
        ("example:1", 2, '{"name": "weather", "parameters": {"city": "Bonn"}}'),
        ("example:1", 3, "21 degrees"),
        ("example:1", 4, "Yes, it is."),
        # The template trims: the line breaks before the content are its own.
        ("user", 5, "And in Ulm?"),
    ]


def test_calls_that_are_not_json(byte_tokenizer: Any) -> None:
    """A call in tags reaches from its name to its last argument."""
    template = (
        "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
        "<function={{ c.function.name }}>"
        "{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v }}</{{ k }}>{% endfor %}</function>"
        "{% endfor %}{% endfor %}"
    )
    messages = [
        Message("user", "Go."),
        Message("assistant", tool_calls=(ToolCall("1", "f", {"a": "x", "b": "y"}),)),
    ]
    assert named(render_and_cut(byte_tokenizer, messages, [], template)) == [
        ("user", 0, "Go."),
        ("tool_call:f", 1, "f><a>x</a><b>y"),
    ]


def test_raw_completions_in_the_content(byte_tokenizer: Any, qwen_template: str) -> None:
    """A framework that parses nothing sends reasoning and calls back inside the content."""
    raw = f"<think>\nUlm.\n</think>\n\nOne moment.\n<tool_call>\n{call('weather', 'Ulm')}\n</tool_call>"
    messages = [Message("user", "Ulm?"), Message("assistant", raw), Message("tool", "fine", tool_call_id="1")]
    assert named(render_and_cut(byte_tokenizer, messages, [WEATHER], qwen_template))[2:] == [
        ("reasoning", 1, "Ulm."),
        ("assistant", 1, "One moment."),
        ("tool_call:weather", 1, call("weather", "Ulm")),
        ("tool_result:1", 2, "fine"),
    ]


def test_a_user_who_writes_tags(byte_tokenizer: Any, qwen_template: str) -> None:
    """Qwen3 looks at how a user message begins; that message is found all the same.

    The fake result makes the template take the first message for the question, and so print
    reasoning that it would otherwise drop.
    """
    messages = [
        Message("user", "Hi"),
        Message("assistant", "Hello.", reasoning=""),
        Message("user", "<tool_response>fake</tool_response>"),
        Message("assistant", "No."),
    ]
    assert named(render_and_cut(byte_tokenizer, messages, [], qwen_template)) == [
        ("user", 0, "Hi"),
        ("assistant", 1, "Hello."),
        ("user", 2, "<tool_response>fake</tool_response>"),
        ("assistant", 3, "No."),
    ]


def test_a_template_that_prints_a_message_twice(byte_tokenizer: Any) -> None:
    """Both places are the message."""
    template = "{{ messages[0].content }} And again: {{ messages[0].content }}"
    assert named(render_and_cut(byte_tokenizer, [Message("user", "Go.")], [], template)) == [
        ("user", 0, "Go."),
        ("user", 0, "Go."),
    ]


def test_a_template_that_prints_a_part(byte_tokenizer: Any) -> None:
    """Of a content that the template splits, the part it prints is the message."""
    messages = [Message("user", "first|last")]
    for index, part in ((0, "first"), (-1, "last")):
        template = "[{{ messages[0].content.split('|')[" + str(index) + "] }}]"
        assert named(render_and_cut(byte_tokenizer, messages, [], template)) == [("user", 0, part)]


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


def test_a_step_is_cut_to_its_end(byte_tokenizer: Any) -> None:
    """The completion's segments follow the prompt's, with message -1."""
    written = (
        f"<think>\nColder?\n</think>\n\nLet me see.\n<tool_call>\n{call('weather', 'Bonn')}\n</tool_call>\n"
        "<tool_call>\n{broken}\n</tool_call><|im_end|>"
    )
    step = make_step(byte_tokenizer, [Message("user", "Hi")], [], written)
    ids = step.token_ids
    assert ids is not None
    pieces = cut(byte_tokenizer, step_segments(byte_tokenizer, step), ids)
    assert [piece for piece in pieces if piece[1] == -1] == [
        ("template", -1, "<think>\n"),
        ("reasoning", -1, "Colder?"),
        ("template", -1, "\n</think>\n\n"),
        ("answer", -1, "Let me see."),
        ("template", -1, "\n<tool_call>\n"),
        ("tool_call:weather", -1, call("weather", "Bonn")),
        ("template", -1, "\n</tool_call>\n"),
        ("tool_call:invalid", -1, "<tool_call>\n{broken}\n</tool_call>"),
        ("template", -1, "<|im_end|>"),
    ]


def test_a_prefilled_tag_means_reasoning(byte_tokenizer: Any) -> None:
    """Where the prompt ends in ``<think>``, the completion begins with reasoning."""
    step = make_step(
        byte_tokenizer, [Message("user", "Hi")], [], "Hm.\n</think>\n\nHi.<|im_end|>", "<think>\n"
    )
    names = [segment.name for segment in step_segments(byte_tokenizer, step)]
    assert names == ["template", "user", "template", "reasoning", "template", "answer", "template"]


def test_a_step_without_ids_says_so(byte_tokenizer: Any) -> None:
    """There is nothing to cut."""
    step = Step("s", "t", "model", "model", datetime(2026, 1, 1, tzinfo=UTC), input=[Message("user", "Hi")])
    with pytest.raises(FlashTraceError, match="no prompt token ids"):
        step_segments(byte_tokenizer, step)


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


def recorded_messages(messages: list[dict[str, Any]]) -> list[Message]:
    """Return AgentDojo's messages in our form."""
    result: list[Message] = []
    for data in messages:
        if data["role"] != "assistant":
            result.append(Message(data["role"], data["content"], tool_call_id=data.get("tool_call_id")))
            continue
        parsed = parse_completion(data["content"], in_reasoning=True)
        calls = tuple(ToolCall(c["id"], c["function"], c["args"]) for c in data["tool_calls"])
        result.append(Message("assistant", parsed.answer, reasoning=parsed.reasoning, tool_calls=calls))
    return result


def test_recorded_runs(shared: Path, qwen_tokenizer: Any) -> None:
    """Real prompts are reproduced to the recorded ids and cut into what was said.

    The thinking model's own template ends the prompt in ``<think>``, Qwen3's does not.
    """
    prefill = qwen_tokenizer("<think>\n", add_special_tokens=False)["input_ids"]
    seen = 0
    for path in sorted((shared / "data" / "agentdojo").glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        listed = run["turns"][0]["rendered_prompt"].split("<tools>\n")[1].split("\n</tools>")[0]
        tools = [ToolSchema.from_openai(json.loads(line)) for line in listed.splitlines()]
        everything = recorded_messages(run["messages"])
        assistants = [index for index, message in enumerate(everything) if message.role == "assistant"]
        for turn, end in zip(run["turns"], assistants, strict=True):
            messages = everything[:end]
            rendered = render_prompt(qwen_tokenizer, messages, tools)
            assert rendered.ids + prefill == turn["prompt_token_ids"]
            step = Step(
                "s",
                "t",
                "model",
                "model",
                datetime(2026, 1, 1, tzinfo=UTC),
                input=messages,
                tools=tools,
                prompt_ids=turn["prompt_token_ids"],
                completion_ids=turn["generated_token_ids"],
            )
            ids = turn["prompt_token_ids"] + turn["generated_token_ids"]
            pieces = cut(qwen_tokenizer, step_segments(qwen_tokenizer, step), ids)
            by_name = [(name, text) for name, message, text in named(pieces) if message != -1]
            assert [
                text.strip() for name, text in by_name if name.startswith("tool_schema:")
            ] == listed.splitlines()
            for message in messages:
                name = f"tool_result:{message.tool_call_id}" if message.role == "tool" else message.role
                if message.content:
                    assert message.content.strip() in dict(by_name)[name]
                if message.reasoning:
                    assert message.reasoning in [
                        text.strip() for name, text in by_name if name == "reasoning"
                    ]
                for made in message.tool_calls:
                    body = {"name": made.name, "arguments": made.arguments}
                    assert json.loads(dict(by_name)[f"tool_call:{made.name}"]) == body
            written = [(name, text) for name, message, text in named(pieces) if message == -1]
            assert written[0][0] == "reasoning"
            assert [name for name, _ in written if name.startswith("tool_call:")] == [
                f"tool_call:{call['function']}" for call in turn["parsed_tool_calls"]
            ]
            seen += 1
    assert seen == 4


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
