"""Retries, fallbacks, batches and graphs inside graphs, as the store sees them."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from recorded import traces
from scripted_model import ScriptedModel, add, call

from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

Handler = FlashTraceCallbackHandler


def only(handler: Handler, store: Store) -> Trace:
    (trace,) = traces(handler, store)
    return trace


def outcomes(trace: Trace) -> list[tuple[str, str | None]]:
    return [(step.status, step.output.content if step.output else step.error) for step in trace.steps]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_attempt_of_a_retry_is_a_step(handler: Handler, store: Store, asynchronous: bool) -> None:
    """The failures stay visible; the run as a whole went well."""
    script = [ConnectionError("reset"), ConnectionError("reset"), "fine"]
    model = ScriptedModel(script=script).with_retry(
        stop_after_attempt=3, wait_exponential_jitter=False, retry_if_exception_type=(ConnectionError,)
    )
    config: Any = {"callbacks": [handler]}
    if asynchronous:
        asyncio.run(model.ainvoke("Hello", config=config))
    else:
        model.invoke("Hello", config=config)
    trace = only(handler, store)
    failed = ("error", "ConnectionError: reset")
    assert outcomes(trace) == [failed, failed, ("ok", "fine")]
    assert (trace.status, trace.error) == ("ok", None)
    assert len({step.id for step in trace.steps}) == 3


def test_a_retry_that_gives_up_fails_the_run(handler: Handler, store: Store) -> None:
    """With the last attempt's error."""
    script = [ConnectionError("first"), ConnectionError("second")]
    model = ScriptedModel(script=script).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    with pytest.raises(ConnectionError, match="second"):
        model.invoke("Hello", config={"callbacks": [handler]})
    trace = only(handler, store)
    assert (trace.status, trace.error) == ("error", "ConnectionError: second")
    assert [step.status for step in trace.steps] == ["error", "error"]


def test_a_fallback_is_a_step_after_the_failed_one(handler: Handler, store: Store) -> None:
    """Each with the model it was."""
    first = ScriptedModel(script=[RuntimeError("overloaded")])
    second = ScriptedModel(script=["fine"])
    first.with_fallbacks([second]).invoke("Hello", config={"callbacks": [handler]})
    trace = only(handler, store)
    assert outcomes(trace) == [("error", "RuntimeError: overloaded"), ("ok", "fine")]
    assert trace.status == "ok"


def test_an_agent_whose_model_falls_back_goes_on(handler: Handler, store: Store) -> None:
    """The tool step belongs to the model that made the call, not to the one that failed."""
    good = ScriptedModel(script=[AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), "3"])

    def answer(messages: Any, config: Any) -> Any:
        bad = ScriptedModel(script=[RuntimeError("overloaded")])
        return bad.with_fallbacks([good]).invoke(messages, config)

    class State(TypedDict):
        messages: list[Any]

    def node(state: State, config: RunnableConfig) -> dict[str, Any]:
        said = answer(state["messages"], config)
        ran = [add.invoke(dict(made, type="tool_call"), config) for made in said.tool_calls]
        return {"messages": [*state["messages"], said, *ran]}

    graph = StateGraph(State)
    graph.add_node("think", node)
    graph.add_node("conclude", node)
    graph.add_edge(START, "think")
    graph.add_edge("think", "conclude")
    graph.add_edge("conclude", END)
    graph.compile().invoke({"messages": [HumanMessage("1+2?")]}, config={"callbacks": [handler]})
    trace = only(handler, store)
    assert [(step.kind, step.status) for step in trace.steps] == [
        ("model", "error"),
        ("model", "ok"),
        ("tool", "ok"),
        ("model", "error"),
        ("model", "ok"),
    ]
    assert trace.steps[2].parent_id == trace.steps[1].id


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_is_a_trace_for_each_input(handler: Handler, store: Store, asynchronous: bool) -> None:
    """One that fails does not touch the others."""
    double = RunnableLambda(lambda text: ScriptedModel(script=_script(text)).invoke(text))
    inputs = ["a", "b", "fail", "d"]
    config: Any = {"callbacks": [handler], "run_name": "batched"}
    if asynchronous:
        asyncio.run(double.abatch(inputs, config=config, return_exceptions=True))
    else:
        double.batch(inputs, config=config, return_exceptions=True)
    found = traces(handler, store)
    said = {trace.steps[0].input[0].content: outcomes(trace) for trace in found}
    failed = [("error", "RuntimeError: no")]
    assert said == {"a": [("ok", "a")], "b": [("ok", "b")], "fail": failed, "d": [("ok", "d")]}
    assert sorted(trace.status for trace in found) == ["error", "ok", "ok", "ok"]


def _script(text: str) -> list[Any]:
    return [RuntimeError("no") if text == "fail" else text]


def test_prompts_of_one_call_are_told_apart(handler: Handler, store: Store) -> None:
    """`generate` with several prompts: LangChain starts a run for each."""
    FakeListLLM(responses=["one", "two"]).generate(["1?", "2?"], callbacks=[handler])
    found = traces(handler, store)
    assert {(t.steps[0].input[0].content, t.steps[0].output.content) for t in found if t.steps[0].output} == {
        ("1?", "one"),
        ("2?", "two"),
    }


def test_a_graph_inside_a_graph_is_one_trace(handler: Handler, store: Store) -> None:
    """An agent as a node of a graph that is a node of a graph; ids repeat on every level."""

    class State(TypedDict):
        messages: list[Any]

    def agent(name: str) -> Any:
        script = [AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), f"{name}: 3"]
        return create_agent(ScriptedModel(script=script), [add], name=name)

    inner = StateGraph(State)
    inner.add_node("agent", agent("inner"))
    inner.add_edge(START, "agent")
    inner.add_edge("agent", END)
    outer = StateGraph(State)
    outer.add_node("sub", inner.compile())
    outer.add_node("agent", agent("outer"))
    outer.add_edge(START, "sub")
    outer.add_edge("sub", "agent")
    outer.add_edge("agent", END)
    outer.compile(name="whole").invoke({"messages": [HumanMessage("1+2?")]}, config={"callbacks": [handler]})
    trace = only(handler, store)
    assert (trace.name, trace.status) == ("whole", "ok")
    assert [step.kind for step in trace.steps] == ["model", "tool", "model"] * 2
    for first in (0, 3):
        assert trace.steps[first + 1].parent_id == trace.steps[first].id
        assert trace.steps[first].parent_id is None
    said = trace.steps[5].output
    assert said is not None
    assert said.content == "outer: 3"


def test_tools_run_by_hand_keep_their_calls_apart(handler: Handler, store: Store) -> None:
    """A loop that gives a tool nothing but arguments names no call: of two at once they tell which it is."""
    calls = [call("add", {"a": 1, "b": 2}, "c1"), call("add", {"a": 3, "b": 4}, "c2")]
    model = ScriptedModel(script=[AIMessage("", tool_calls=calls), "3 and 7."])

    def loop(question: str, config: RunnableConfig) -> str:
        messages: list[Any] = [HumanMessage(question)]
        answer = model.invoke(messages, config)
        messages.append(answer)
        for made in answer.tool_calls:
            result = add.invoke(made["args"], config)
            messages.append(ToolMessage(str(result), tool_call_id=made["id"]))
        return str(model.invoke(messages, config).content)

    RunnableLambda(loop).invoke("1 + 2 and 3 + 4?", config={"callbacks": [handler]})
    trace = only(handler, store)
    tools = [step for step in trace.steps if step.kind == "tool"]
    assert [(step.tool_call_id, step.arguments, step.result) for step in tools] == [
        ("c1", {"a": 1, "b": 2}, "3"),
        ("c2", {"a": 3, "b": 4}, "7"),
    ]
    assert {step.parent_id for step in tools} == {trace.steps[0].id}
