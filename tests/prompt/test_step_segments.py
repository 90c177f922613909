"""Whole steps: a prompt and what was written in answer, also in recorded runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flashtrace_agent.completion import parse_completion
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.prompt.segmentation import step_segments
from flashtrace_agent.trace import Step

from .cutting import call, cut, make_step, named


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
