"""What tools and models return that nobody would expect: the agent goes on, the step is there."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from recorded import answer, traces

from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

Handler = FlashTraceCallbackHandler


def circle() -> dict[str, Any]:
    found: dict[str, Any] = {"n": 1}
    found["self"] = [found]
    return found


class Silent:
    """An object whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def with_tool(handler: Handler, store: Store, output: Any, arguments: Any = None) -> Trace:
    root, ran = uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="agent")
    handler.on_tool_start({"name": "odd"}, "x", run_id=ran, parent_run_id=root, inputs=arguments)
    handler.on_tool_end(output, run_id=ran)
    handler.on_chain_end({}, run_id=root)
    (trace,) = traces(handler, store)
    return trace


@pytest.mark.parametrize(
    ("output", "says"),
    ids=itertools.count(),
    argvalues=[
        (circle(), '"self"'),
        (b"\xff\xfe caf\xc3\xa9", "café"),
        ("lone \ud800 surrogate", "lone"),
        (float("nan"), "NaN"),
        ({1, 2}, "1"),
        (16**5000, "0x1000"),
        ("x" * 10_000_000, "xxx"),
        ({("a", 1): None}, "null"),
        (None, ""),
        (object(), "object"),
        (Silent(), "<Silent>"),
        (HumanMessage, "<ModelMetaclass>"),
        ([[[[[]]]]], ""),
    ],
)
def test_any_tool_result_is_a_step(handler: Handler, store: Store, output: Any, says: str) -> None:
    """Circles, bytes, lone surrogates, ten megabytes, sets, huge numbers."""
    (step,) = with_tool(handler, store, output).steps
    assert (step.name, step.status) == ("odd", "ok")
    assert says in (step.result or "")
    if isinstance(output, str):
        assert len(step.result or "") == len(output)


def test_arguments_that_hold_themselves_or_no_text(handler: Handler, store: Store) -> None:
    """Plain values are kept, circles cut off, objects a framework injects left out."""
    (step,) = with_tool(handler, store, "ok", {"c": circle(), "s": Silent(), "n": 1}).steps
    assert isinstance(step.arguments, dict)
    assert set(step.arguments) == {"c", "n"}


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage([{"type": "text"}, {"type": ["x"]}, {}])],
        [HumanMessage.model_construct(content=[7, None, {"text": 1}], additional_kwargs={}, name=None)],
        [ChatMessage("Hm", role="oracle")],
        [HumanMessage("\ud800")],
        [AIMessage("", additional_kwargs={"function_call": {"name": None, "arguments": "{"}})],
        [AIMessage([{"type": "tool_use", "input": float("inf")}])],
    ],
)
def test_odd_messages_are_kept_as_far_as_they_can_be_read(
    handler: Handler, store: Store, messages: list[Any]
) -> None:
    """Unknown roles, blocks of any type, lone surrogates."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [messages], run_id=run_id)
    handler.on_llm_end(answer("ok"), run_id=run_id)
    (trace,) = traces(handler, store)
    assert len(trace.steps[0].input) == len(messages)


@pytest.mark.parametrize("response", [None, LLMResult(generations=[]), LLMResult(generations=[[]]), "text"])
def test_an_answer_that_is_none_closes_the_step(handler: Handler, store: Store, response: Any) -> None:
    """Providers differ in what they call an empty answer."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
    handler.on_llm_end(response, run_id=run_id)
    (trace,) = traces(handler, store)
    assert (trace.status, trace.steps[0].output) == ("ok", None)


class SilentError(Exception):
    """A failure that cannot even say what failed."""

    def __str__(self) -> str:
        raise AttributeError("no words")


def test_an_error_without_words_ends_its_run(handler: Handler, store: Store) -> None:
    """Its type is told."""
    root, ran = uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="agent")
    handler.on_tool_start({"name": "odd"}, "x", run_id=ran, parent_run_id=root)
    handler.on_tool_error(SilentError(), run_id=ran)
    handler.on_chain_error(SilentError(), run_id=root)
    (trace,) = traces(handler, store)
    assert (trace.status, trace.error) == ("error", "SilentError")
    assert [(step.status, step.error) for step in trace.steps] == [("error", "SilentError")]


def test_usage_told_by_half(handler: Handler, store: Store) -> None:
    """What is there is kept."""
    message = AIMessage("Ho")
    message.usage_metadata = {"input_tokens": 12}  # type: ignore[typeddict-item]
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]]), run_id=run_id)
    (trace,) = traces(handler, store)
    assert trace.steps[0].usage == {"prompt_tokens": 12}


def test_an_end_that_cannot_be_read_leaves_its_step(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, and incomplete."""
    handler = Handler(store)

    def fails(*_: Any) -> None:
        raise RuntimeError("unreadable")

    monkeypatch.setattr("flashtrace_agent.integrations.langchain.steps.read_turn", fails)
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
    handler.on_llm_end(answer("Ho"), run_id=run_id)
    (trace,) = traces(handler, store)
    assert len(trace.steps) == 1
    assert handler.errors == 1
    assert handler.close(30)


@pytest.mark.parametrize(
    "ids",
    [
        {"prompt_token_ids": "123", "completion_token_ids": [1]},
        {"prompt_token_ids": [1.5], "completion_token_ids": [1]},
        {"prompt_token_ids": [-1], "completion_token_ids": [2**40]},
        {"prompt_token_ids": [None], "completion_token_ids": []},
        ["not a mapping"],
    ],
)
def test_ids_that_are_none_are_not_believed(handler: Handler, store: Store, ids: Any) -> None:
    """The text is kept, as approximate."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
    message = AIMessage("Ho", response_metadata={"flashtrace": ids})
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]]), run_id=run_id)
    (trace,) = traces(handler, store)
    (step,) = trace.steps
    assert (step.token_ids, str(step.fidelity)) == (None, "approximate")
    assert step.output is not None
    assert step.output.content == "Ho"
