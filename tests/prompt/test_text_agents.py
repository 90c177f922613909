"""A text agent's prompt is cut up into its rounds, and its output read as a call or an answer."""

from __future__ import annotations

from typing import Any

import pytest

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.segmentation import prompt_segments, step_segments
from flashtrace_agent.prompt.targets import step_targets, text_targets
from flashtrace_agent.prompt.text_agents import is_text_agent, read_turn
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.trace import Step, utc_now
from tests.completion.test_react import LANGCHAIN
from tests.tiling import check_tiling

ROUNDS = " Look first.\nAction: search\nAction Input: sofas\nObservation: 4 red sofas\nThought:"


@pytest.fixture(scope="module")
def tokenizer(shared: Any) -> Any:
    from flashtrace_agent.prompt.load_tokenizer import load_tokenizer

    return load_tokenizer(str(shared / "data" / "qwen3_tokenizer"))


def step_of(tokenizer: Any, messages: list[Message], written: str) -> Step:
    return Step(
        "s", "t", "model", "m", utc_now(), input=messages,
        output=Message("assistant", written),
        prompt_ids=render_prompt(tokenizer, messages).ids,
        completion_ids=tokenizer(written + "<|im_end|>")["input_ids"],
    )  # fmt: skip


def named(tokenizer: Any, step: Step) -> list[tuple[str, str]]:
    """Return the segments' names and texts, without the template's."""
    pieces = TokenText(tokenizer, step.token_ids or []).pieces
    segments = step_segments(tokenizer, step)
    check_tiling(segments, len(pieces))
    return [
        (segment.name, "".join(pieces[segment.span.start : segment.span.end]).strip())
        for segment in segments
        if segment.name != "template"
    ]


def test_rounds_in_one_message(tokenizer: Any) -> None:
    """LangChain's classic agent: thought, call and observation are segments, the instructions the user's."""
    written = " I need beds too.\nAction: search\nAction Input: beds\nObservation:"
    step = step_of(tokenizer, [Message("user", LANGCHAIN + ROUNDS)], written)
    found = named(tokenizer, step)
    assert found[0][0] == "user"
    assert found[0][1].endswith("Question: How many sofas?")
    assert found[1:] == [
        ("reasoning", "Look first."),
        ("tool_call:search", "search\nAction Input: sofas"),
        ("tool_result:1", "4 red sofas"),
        ("reasoning", "I need beds too."),
        ("tool_call:search", "search\nAction Input: beds"),
    ]
    targets = step_targets(tokenizer, step)
    assert list(targets) == ["reasoning", "tool_name", "argument:input"]
    pieces = TokenText(tokenizer, step.token_ids or []).pieces
    assert text_targets(pieces, len(step.prompt_ids or [])) == targets


def test_rounds_as_a_chat(tokenizer: Any) -> None:
    """LlamaIndex: the agent's turns and the observations are messages of their own."""
    rules = (
        "Use this format.\nThought: t\nAction: tool name\nAction Input: JSON\n\nEnd with\nAnswer: your answer"
    )
    turn = 'Thought: Look.\nAction: search\nAction Input: {"query": "sofas"}'
    messages = [
        Message("system", rules), Message("user", "How many sofas?"),
        Message("assistant", turn), Message("user", "Observation: 4"),
        Message("assistant", turn), Message("user", "Observation: 5"),
    ]  # fmt: skip
    step = step_of(tokenizer, messages, "Thought: I can answer.\nAnswer: There are 5.")
    call = ("tool_call:search", 'search\nAction Input: {"query": "sofas"}')
    assert named(tokenizer, step)[1:] == [
        ("user", "How many sofas?"),
        ("reasoning", "Look."), call, ("tool_result:1", "4"),
        ("reasoning", "Look."), call, ("tool_result:2", "5"),
        ("reasoning", "I can answer."), ("answer", "There are 5."),
    ]  # fmt: skip


def test_other_prompts_are_left_alone(tokenizer: Any) -> None:
    """A question about text agents, and an agent with native tools, are none."""
    asking = [Message("user", "What does a line 'Action: x' mean?\nObservation: I saw one.")]
    assert not is_text_agent(asking)
    assert not is_text_agent([Message("user", LANGCHAIN)], [ToolSchema("search")])
    segments = prompt_segments(tokenizer, asking, [], render_prompt(tokenizer, asking).ids)
    assert [segment.name for segment in segments] == ["template", "user", "template"]


def test_an_output_is_read_as_a_call_or_an_answer() -> None:
    """What was written is kept beside it."""
    messages = [Message("user", LANGCHAIN)]
    written = " Look first.\nAction: search\nAction Input: sofas"
    step = Step("s", "t", "model", "m", utc_now(), input=messages, output=Message("assistant", written))
    read_turn(step)
    assert step.output is not None
    assert [(call.id, call.name, call.arguments) for call in step.output.tool_calls] == [
        ("call_0", "search", {"input": "sofas"})
    ]
    assert (step.output.content, step.output.reasoning, step.settings) == (
        "",
        "Look first.",
        {"text": written},
    )
    for words in ("Hello", "Thought: hm.\nAction: search the web", "Thought: I was cut o"):
        plain = Step("s", "t", "model", "m", utc_now(), input=messages, output=Message("assistant", words))
        read_turn(plain)
        assert plain.output == Message("assistant", words)
        assert plain.settings == {}
