"""The chat model: what it reports is what the model saw and wrote, streamed or not."""

from __future__ import annotations

import asyncio
import time
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from recorded import traces
from tiny_models import Parrot, llama, qwen3, text_of, tokenizer
from transformers import AutoTokenizer

from flashtrace_agent.errors import FlashTraceError, SequenceError
from flashtrace_agent.integrations.langchain import ChatTransformers, FlashTraceCallbackHandler
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
THOUGHT = "<think>\nI should call a tool.\n</think>\n\n"
END = "<|im_end|>"


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def parrot(*texts: str, **params: Any) -> ChatTransformers:
    return ChatTransformers(model=Parrot(*texts), tokenizer=tokenizer(), **params)


def added(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return reduce(lambda a, b: a + b, chunks)


def essence(message: AIMessage) -> dict[str, Any]:
    """Return what invoke and the sum of a stream must agree on."""
    return {
        "content": message.content,
        "extra": message.additional_kwargs,
        "calls": message.tool_calls,
        # LangChain drops the error of a malformed call when it adds up chunks.
        "invalid": [(call["name"], call["args"], call["id"]) for call in message.invalid_tool_calls],
        "usage": message.usage_metadata,
        "metadata": {k: v for k, v in message.response_metadata.items() if k != "model_provider"},
    }


def test_an_answer_comes_with_its_exact_ids() -> None:
    """Prompt ids as rendered, completion ids as written, end-of-turn token included."""
    chat = parrot("It is sunny." + END)
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("How is it?")])
    assert answer.content == "It is sunny."
    exact = answer.response_metadata["flashtrace"]
    assert text_of(exact["prompt_token_ids"]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow is it?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert chat.model.seen[0] == exact["prompt_token_ids"]
    assert text_of(exact["completion_token_ids"]) == "It is sunny.<|im_end|>"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["model_name"] == "parrot"
    written = len(exact["completion_token_ids"])
    given = len(exact["prompt_token_ids"])
    assert answer.usage_metadata == {
        "input_tokens": given,
        "output_tokens": written,
        "total_tokens": given + written,
    }
    assert exact["chat_template"] is not None  # the bundled one: this tokenizer has none
    assert exact["template_kwargs"] == {}


def test_reasoning_and_calls_are_parsed() -> None:
    """Reasoning beside the content, calls with ids that a template may print."""
    answer = parrot(THOUGHT + CALL + END).bind_tools([weather]).invoke("How is it in Paris?")
    assert answer.content == ""
    assert answer.additional_kwargs["reasoning_content"] == "I should call a tool."
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
    assert call["id"] is not None
    assert len(call["id"]) == 9
    assert call["id"].isalnum()
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_reasoning_the_prompt_opened_is_reasoning() -> None:
    """Thinking models prefill the opening tag, so the output lacks it."""
    template = "{% for m in messages %}{{ m.content }}{% endfor %}<think>\n"
    chat = parrot("Let me see.</think>Yes." + END, chat_template=template)
    chunks = list(chat.stream("Is it?"))
    assert added(chunks).additional_kwargs == {"reasoning_content": "Let me see."}
    assert added(chunks).content == "Yes."


def test_tools_are_in_the_prompt() -> None:
    """What is offered to the agent is what the model sees."""
    chat = parrot("Hello." + END)
    chat.bind_tools([weather]).invoke("Hi")
    seen = text_of(chat.model.seen[0])
    assert "Tell the weather in a city." in seen
    assert '"city"' in seen


def test_a_malformed_call_is_reported_as_such() -> None:
    """With what is wrong, and without stopping anything; a repaired half call is not carried out."""
    for broken in ('<tool_call>\n{"name": "weather", "arguments": {"city": \n</tool_call>',):
        answer = parrot(broken + END).invoke("x")
        (call,) = answer.invalid_tool_calls
        assert answer.tool_calls == []
        assert call["name"] == "weather"
        assert call["error"]
        assert answer.response_metadata["finish_reason"] == "stop"


def test_a_call_cut_off_by_the_token_limit_is_not_repaired_in_a_stream() -> None:
    """LangChain completes truncated JSON when it adds up chunks."""
    for text in ('{"name": "weather", "parameters": {"city": "Paris"', CALL[:-14]):
        length = len(tokenizer()(text, add_special_tokens=False)["input_ids"])
        whole = parrot(text, max_new_tokens=length).invoke("x")
        streamed = added(list(parrot(text, max_new_tokens=length).stream("x")))
        assert essence(streamed) == essence(whole)
        assert whole.tool_calls == streamed.tool_calls == []
        assert len(whole.invalid_tool_calls) == 1
        assert whole.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("stop", [["sunny"], ["is su"], ["nny.", "never"], [" sunny"]])
def test_a_stop_string_trims_the_text_and_keeps_the_ids(stop: list[str]) -> None:
    """Wherever its tokens begin and end; ids stay those that were generated."""
    text = "It is sunny. It is hot."
    chat = parrot(text + END)
    answer = chat.invoke("x", stop=stop)
    kept = text[: text.index(stop[0])].rstrip()
    assert answer.content == kept
    ids = answer.response_metadata["flashtrace"]["completion_token_ids"]
    assert stop[0] in text_of(ids)
    assert text_of(ids).startswith(kept)
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == len(ids)
    streamed = added(list(parrot(text + END, stop=stop).stream("x")))
    assert essence(streamed) == essence(answer)


def test_an_answer_that_reaches_the_limit_says_so() -> None:
    """Finish reason length, nothing lost."""
    answer = parrot("It is sunny. " * 50, max_new_tokens=7).invoke("x")
    assert answer.response_metadata["finish_reason"] == "length"
    assert len(answer.response_metadata["flashtrace"]["completion_token_ids"]) == 7


def test_a_prompt_beyond_the_context_is_one_sentence() -> None:
    """Before anything is run."""
    chat = ChatTransformers(model=llama(max_position_embeddings=64), tokenizer=tokenizer())
    with pytest.raises(SequenceError, match="context holds 64") as caught:
        chat.invoke("sunny " * 100)
    assert str(caught.value).count(". ") == 0
    answer = chat.invoke("sun")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] <= 64


def test_a_forced_tool_choice_is_refused() -> None:
    """Nothing could force the model; None and auto mean what it does anyway."""
    chat = parrot()
    chat.bind_tools([weather], tool_choice="auto")
    chat.bind_tools([weather], tool_choice=None)
    with pytest.raises(FlashTraceError, match="cannot force"):
        chat.bind_tools([weather], tool_choice="any")


def test_text_is_streamed_as_it_comes() -> None:
    """Token by token; reasoning in chunks without content, the usage in the last."""
    chunks = list(parrot(THOUGHT + "It is sunny in Paris today." + END).stream("x"))
    thoughts = [chunk for chunk in chunks if "reasoning_content" in chunk.additional_kwargs]
    words = [chunk for chunk in chunks if chunk.content]
    assert len(thoughts) > 2
    assert all(chunk.content == "" for chunk in thoughts)
    assert len(words) > 2
    assert "".join(str(chunk.content) for chunk in words) == "It is sunny in Paris today."
    assert [chunk for chunk in chunks if chunk.usage_metadata] == [chunks[-1]]
    assert "flashtrace" in chunks[-1].response_metadata


def test_calls_are_streamed_as_call_chunks() -> None:
    """One chunk per call, no tags in the content."""
    chunks = list(parrot("Let me see.\n" + CALL + "\n" + CALL + END).stream("x"))
    calls = [chunk.tool_call_chunks for chunk in chunks if chunk.tool_call_chunks]
    assert [len(call) for call in calls] == [1, 1]
    assert added(chunks).content == "Let me see."
    first, second = added(chunks).tool_calls
    assert first["args"] == second["args"] == {"city": "Paris"}
    assert first["id"] != second["id"]


def test_no_character_is_streamed_in_halves() -> None:
    """Several tokens make one emoji."""
    text = "Grüße aus München ☀️ 🌤️ 日本"
    chunks = [str(chunk.content) for chunk in parrot(text + END).stream("x")]
    assert "".join(chunks) == text
    assert not any("\ufffd" in chunk for chunk in chunks)


PIECES = st.sampled_from(
    [
        THOUGHT,
        "<think>",
        "</think>",
        CALL,
        CALL[:30],
        CALL[-20:],
        "<tool_call>",
        "</tool_call>",
        "a < b",
        "<",
        "{",
        '{"name": "weather", "parameters": {"city": "Paris"}}',
        '{"temperature": 20}',
        "<|python_tag|>",
        '[weather(city="Paris"',
        ")]",
        "<|im_start|>",
        "It is sunny.",
        "\n\n",
        " ",
        "☀️",
        "\ufffd",
        "</s>",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=6), st.sampled_from([(), ("sunny",), ("\n\n", "is s")]), st.booleans())
def test_a_stream_adds_up_to_the_answer(pieces: list[str], stop: tuple[str, ...], ends: bool) -> None:
    """For whatever a model writes, well-formed or not."""
    text = "".join(pieces) + (END if ends else "It")
    # What was streamed as an answer may turn out to be reasoning; nothing can be unsaid.
    assume("</think>" not in text or text.lstrip().startswith("<think>"))
    length = len(tokenizer()(text, add_special_tokens=False)["input_ids"])
    params: dict[str, Any] = {"max_new_tokens": length, "stop": list(stop)}
    whole = parrot(text, **params).invoke("x")
    chunks = list(parrot(text, **params).stream("x"))
    assert essence(added(chunks)) == essence(whole)


def test_async_calls_leave_the_loop_free() -> None:
    """The model runs elsewhere while the loop goes on."""

    class SlowParrot(Parrot):
        def _next(self) -> int:
            time.sleep(0.02)
            return super()._next()

    def slow() -> ChatTransformers:
        return ChatTransformers(model=SlowParrot("It is sunny in Paris." + END), tokenizer=tokenizer())

    async def main() -> tuple[Any, Any, int]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.005)
                beats += 1

        heart = asyncio.create_task(beat())
        whole = await slow().ainvoke("x")
        chunks = [chunk async for chunk in slow().astream("x")]
        heart.cancel()
        return whole, added(chunks), beats

    whole, streamed, beats = asyncio.run(main())
    assert whole.content == "It is sunny in Paris."
    assert essence(streamed) == essence(whole)
    assert beats > 10


@pytest.mark.parametrize("build", [llama, qwen3])
def test_real_models_stream_what_they_answer(build: Any) -> None:
    """Random weights: gibberish, but the same gibberish, and the ids of a plain run."""
    model = build()
    whole = ChatTransformers(model=model, tokenizer=tokenizer(), max_new_tokens=30).invoke("Hi")
    streamed = added(
        list(ChatTransformers(model=model, tokenizer=tokenizer(), max_new_tokens=30).stream("Hi"))
    )
    assert essence(streamed) == essence(whole)


def test_an_agent_runs_and_is_recorded_exactly(handler: FlashTraceCallbackHandler, store: Store) -> None:
    """create_agent with a tool; each step's ids are what rendering its record gives."""
    chat = parrot(THOUGHT + CALL + END, "It is sunny in Paris." + END)
    agent = create_agent(chat, [weather], system_prompt="You are a helpful assistant.")
    final = agent.invoke({"messages": [("user", "Weather in Paris?")]}, config={"callbacks": [handler]})
    assert final["messages"][-1].content == "It is sunny in Paris."
    (trace,) = traces(handler, store)
    first, ran, last = trace.steps
    assert (ran.result, ran.parent_id) == ("sunny in Paris", first.id)
    assert [step.fidelity for step in (first, last)] == [Fidelity.EXACT, Fidelity.EXACT]
    assert first.model == "parrot"
    assert first.finish_reason == "tool_calls"
    assert first.output is not None
    assert first.output.reasoning == "I should call a tool."
    assert "chat_template_hash" in first.settings
    for step in (first, last):
        assert step.usage["prompt_tokens"] == len(step.prompt_ids or ())
        again = render_prompt(
            tokenizer(), step.input, step.tools, chat_template=step.settings.get("chat_template")
        )
        assert again.ids == step.prompt_ids
    assert "sunny in Paris" in text_of(last.prompt_ids or ())


def test_a_streamed_agent_is_recorded_exactly(handler: FlashTraceCallbackHandler, store: Store) -> None:
    """Chunks lose nothing of it."""
    chat = parrot(CALL + END, "It is sunny in Paris." + END)
    agent = create_agent(chat, [weather])
    ask = {"messages": [("user", "Weather in Paris?")]}
    for _ in agent.stream(ask, config={"callbacks": [handler]}, stream_mode="messages"):
        pass
    (trace,) = traces(handler, store)
    models = [step for step in trace.steps if step.kind == "model"]
    assert [step.fidelity for step in models] == [Fidelity.EXACT, Fidelity.EXACT]
    assert text_of(models[1].completion_ids or ()) == "It is sunny in Paris.<|im_end|>"


def test_examples_in_the_history_stay_marked(handler: FlashTraceCallbackHandler, store: Store) -> None:
    """Few-shot messages are told apart from the conversation."""
    call = {"name": "weather", "args": {"city": "Rome"}, "id": "c"}
    history = [
        HumanMessage("Weather in Rome?", additional_kwargs={"example": True}),
        AIMessage("", tool_calls=[call], name="example_1"),
        ToolMessage("hot", tool_call_id="c", additional_kwargs={"example": True}),
        HumanMessage("Weather in Paris?"),
    ]
    parrot("Sunny." + END).invoke(history, config={"callbacks": [handler]})
    (trace,) = traces(handler, store)
    assert [message.example for message in trace.steps[0].input] == [True, True, True, False]


def test_a_real_tokenizer_and_template_work(shared: Path) -> None:
    """Qwen3's: its own template, reasoning markup and calls."""
    qwen = AutoTokenizer.from_pretrained(shared / "data" / "qwen3_tokenizer")
    chat = ChatTransformers(
        model=qwen3(vocab_size=len(qwen)),
        tokenizer=qwen,
        max_new_tokens=5,
        template_kwargs={"enable_thinking": False},
    )
    answer = chat.bind_tools([weather]).invoke("Weather in Paris?")
    exact = answer.response_metadata["flashtrace"]
    prompt = qwen.decode(exact["prompt_token_ids"])
    assert prompt.endswith("<think>\n\n</think>\n\n")
    assert "Tell the weather in a city." in prompt
    assert exact["chat_template"] is None
    assert exact["template_kwargs"] == {"enable_thinking": False}
