"""Every piece of a prompt has its name, in any template, and holds exactly the text it is named for."""

from __future__ import annotations

from typing import Any

from flashtrace_agent.message import Message, ToolCall

from .conversations import CLOCK, CONVERSATION, EXAMPLE, WEATHER
from .cutting import call, named, render_and_cut, schema


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
