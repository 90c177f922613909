"""Real agents of create_agent and LangGraph, driven by a script, as the store sees them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from recorded import traces
from scripted_model import ScriptedModel, StreamingModel, add, call, fail, meet

from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.message import ToolCall
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step, Trace

Handler = FlashTraceCallbackHandler
ASK = {"messages": [("user", "What is 1 + 2?")]}


def agent(
    *script: Any, tools: Any = (add, fail), model: type[ScriptedModel] = ScriptedModel, **kwargs: Any
) -> Any:
    return create_agent(
        model(script=list(script)), list(tools), system_prompt="Be brief.", name="adder", **kwargs
    )


def run(handler: Handler, *script: Any, config: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    return agent(*script, **kwargs).invoke(ASK, config={"callbacks": [handler], **(config or {})})


def only(handler: Handler, store: Store) -> Trace:
    (trace,) = traces(handler, store)
    return trace


def kinds(trace: Trace) -> list[tuple[str, str]]:
    return [(step.kind, step.status) for step in trace.steps]


def tool_steps(trace: Trace) -> list[Step]:
    return [step for step in trace.steps if step.kind == "tool"]


def test_one_tool_call_is_recorded_with_its_place(handler: Handler, store: Store) -> None:
    """A model step, the tool step it called, and the model step that read the result."""
    config = {"metadata": {"session_id": "s-1"}, "tags": ["nightly"]}
    run(handler, AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), "3", config=config)
    trace = only(handler, store)
    assert (trace.name, trace.status, trace.session, trace.tags) == ("adder", "ok", "s-1", ["nightly"])
    assert trace.ended_at is not None
    assert trace.ended_at >= trace.started_at
    first, ran, last = trace.steps
    assert [message.role for message in first.input] == ["system", "user"]
    assert first.output is not None
    assert first.output.tool_calls == (ToolCall("call_0", "add", {"a": 1, "b": 2}),)
    assert [schema.name for schema in first.tools] == ["add", "fail"]
    assert first.tools[0].parameters["required"] == ["a", "b"]
    assert (first.model, first.settings["temperature"]) == ("scripted-1", 0.5)
    assert first.fidelity is Fidelity.APPROXIMATE
    assert first.fidelity_reason.startswith("text only: ")
    assert first.parent_id is None
    assert (ran.name, ran.tool_call_id, ran.arguments, ran.result) == ("add", "call_0", {"a": 1, "b": 2}, "3")
    assert ran.parent_id == first.id
    assert [message.role for message in last.input] == ["system", "user", "assistant", "tool"]
    assert last.output is not None
    assert last.output.content == "3"
    assert last.parent_id is None
    assert last.ended_at is not None


def test_the_recorded_history_is_the_recorded_output(handler: Handler, store: Store) -> None:
    """An answer has one identity as an output and as a later input, though LangChain renames it."""
    run(handler, AIMessage("Let me see", tool_calls=[call("add", {"a": 1, "b": 2})]), "3")
    first, _, last = only(handler, store).steps
    assert first.output is not None
    assert last.input[2].digest() == first.output.digest()


def test_parallel_calls_have_one_parent_and_their_own_results(handler: Handler, store: Store) -> None:
    """Two tools running at once, each on its own thread, belong to the step that called both."""
    calls = [call("meet", {"who": "Ada"}, "c0"), call("meet", {"who": "Bob"}, "c1")]
    run(handler, AIMessage("", tool_calls=calls), "done", tools=[meet])
    trace = only(handler, store)
    ran = tool_steps(trace)
    assert {(step.tool_call_id, step.result) for step in ran} == {("c0", "met Ada"), ("c1", "met Bob")}
    assert {step.parent_id for step in ran} == {trace.steps[0].id}


def test_call_ids_that_repeat_each_round_are_told_apart(handler: Handler, store: Store) -> None:
    """`call_0` of the second round belongs to the second model step."""
    run(
        handler,
        AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]),
        AIMessage("", tool_calls=[call("add", {"a": 3, "b": 4})]),
        "10",
    )
    trace = only(handler, store)
    first, ran_first, second, ran_second, _ = trace.steps
    assert (ran_first.parent_id, ran_second.parent_id) == (first.id, second.id)
    assert (ran_first.result, ran_second.result) == ("3", "7")


def test_a_tool_that_does_not_exist_becomes_a_failed_tool_step(handler: Handler, store: Store) -> None:
    """No tool callback fires for it; its step comes from the message that answers it."""
    calls = [call("sofas", {"n": 1}, "c0"), call("add", {"a": 1, "b": 2}, "c1")]
    run(handler, AIMessage("", tool_calls=calls), "3")
    trace = only(handler, store)
    missing, ran = sorted(tool_steps(trace), key=lambda step: step.tool_call_id or "")
    assert (missing.name, missing.status, missing.arguments) == ("sofas", "error", {"n": 1})
    assert missing.error is not None
    assert "not a valid tool" in missing.error
    assert missing.result == missing.error
    assert missing.parent_id == ran.parent_id == trace.steps[0].id
    assert [step.kind for step in trace.steps] == ["model", "tool", "tool", "model"]
    assert trace.status == "ok"


def test_a_missing_tool_is_recorded_even_where_another_raises(handler: Handler, store: Store) -> None:
    """The run is aborted before a next model input could tell of the missing tool."""
    calls = [call("sofas", {}, "c0")]
    run_twice = [
        AIMessage("", tool_calls=calls),
        AIMessage("", tool_calls=[call("fail", {"reason": "x"}, "c1")]),
    ]
    with pytest.raises(ValueError, match="x"):
        run(handler, *run_twice)
    assert [(step.name, step.status) for step in tool_steps(only(handler, store))] == [
        ("sofas", "error"),
        ("fail", "error"),
    ]


def test_a_raising_tool_fails_step_and_trace_once(handler: Handler, store: Store) -> None:
    """The error passes through a node and the root; it is recorded once on each level."""
    with pytest.raises(ValueError, match="no reason"):
        run(handler, AIMessage("", tool_calls=[call("fail", {"reason": "no reason"})]))
    trace = only(handler, store)
    assert kinds(trace) == [("model", "ok"), ("tool", "error")]
    assert trace.steps[1].error == "ValueError: no reason"
    assert trace.steps[1].parent_id == trace.steps[0].id
    assert (trace.status, trace.error) == ("error", "ValueError: no reason")


def test_a_tool_error_the_agent_is_told_of_keeps_what_it_was_told(handler: Handler, store: Store) -> None:
    """Bad arguments raise inside the tool, become a message, and the agent goes on."""
    run(handler, AIMessage("", tool_calls=[call("add", {"a": "one"})]), "Sorry.")
    trace = only(handler, store)
    assert kinds(trace) == [("model", "ok"), ("tool", "error"), ("model", "ok")]
    told = trace.steps[2].input[-1]
    assert trace.steps[1].result == told.content
    assert told.status == "error"
    assert trace.status == "ok"


def test_a_malformed_call_is_kept_as_text(handler: Handler, store: Store) -> None:
    """Arguments that were no JSON object stay what the model wrote."""
    broken = {"name": "add", "args": '{"a": 1,', "id": "c0", "error": "no", "type": "invalid_tool_call"}
    run(handler, AIMessage("oops", invalid_tool_calls=[broken]))
    (step,) = only(handler, store).steps
    assert step.output is not None
    assert step.output.tool_calls == (ToolCall("c0", "add", '{"a": 1,'),)


def test_a_failing_model_fails_step_and_trace(handler: Handler, store: Store) -> None:
    """A model that raises leaves a step with its input and its error."""
    with pytest.raises(RuntimeError, match="out of memory"):
        run(handler, RuntimeError("out of memory"))
    trace = only(handler, store)
    assert kinds(trace) == [("model", "error")]
    assert trace.steps[0].error == "RuntimeError: out of memory"
    assert trace.steps[0].input[-1].content == "What is 1 + 2?"
    assert trace.status == "error"


def test_async_runs_are_recorded_like_sync_ones(handler: Handler, store: Store) -> None:
    """The same steps and parents, though callbacks come from the loop and from pool threads."""
    script = [AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), "3"]
    asyncio.run(agent(*script).ainvoke(ASK, config={"callbacks": [handler]}))
    trace = only(handler, store)
    assert kinds(trace) == [("model", "ok"), ("tool", "ok"), ("model", "ok")]
    assert trace.steps[1].parent_id == trace.steps[0].id
    assert trace.status == "ok"


def test_streamed_answers_are_recorded_whole(handler: Handler, store: Store) -> None:
    """Chunks are put together; one trace comes of it."""
    asked = AIMessage("Let me add", tool_calls=[call("add", {"a": 1, "b": 2})])
    streaming = agent(asked, "It is three", model=StreamingModel)
    chunks = list(streaming.stream(ASK, config={"callbacks": [handler]}, stream_mode="messages"))
    assert len(chunks) > 4
    trace = only(handler, store)
    assert kinds(trace) == [("model", "ok"), ("tool", "ok"), ("model", "ok")]
    first, _, last = trace.steps
    assert first.output is not None
    assert first.output.tool_calls[0].arguments == {"a": 1, "b": 2}
    assert last.output is not None
    assert last.output.content.strip() == "It is three"
    assert last.finish_reason == "stop"


def test_a_stream_not_read_to_its_end_is_incomplete_not_failed(handler: Handler, store: Store) -> None:
    """The caller stopped listening; nothing went wrong."""
    script = [AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), "3"]
    stream = agent(*script).stream(ASK, config={"callbacks": [handler]})
    next(stream)
    stream.close()
    trace = only(handler, store)
    assert trace.status == "incomplete"
    assert trace.steps[0].status == "ok"


def test_parallel_runs_on_one_handler_stay_apart(handler: Handler, store: Store) -> None:
    """Each run is its own trace with its own steps, though they interleave."""
    gate = threading.Barrier(4)

    @tool
    def wait(n: int) -> int:
        """Wait for the other agents."""
        gate.wait(120)
        return n

    def one(n: int) -> None:
        run(handler, AIMessage("", tool_calls=[call("wait", {"n": n})]), f"{n}", tools=[wait])

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = traces(handler, store)
    assert len(found) == 4
    for trace in found:
        first, ran, last = trace.steps
        assert {step.trace_id for step in trace.steps} == {trace.id}
        assert ran.parent_id == first.id
        assert last.output is not None
        assert ran.result == last.output.content
    assert sorted(trace.steps[1].result or "" for trace in found) == ["0", "1", "2", "3"]


def test_parallel_async_runs_stay_apart(handler: Handler, store: Store) -> None:
    """The same with tasks on one loop."""

    async def main() -> None:
        runs = [
            agent(AIMessage("", tool_calls=[call("add", {"a": n, "b": n})]), f"{n + n}").ainvoke(
                ASK, config={"callbacks": [handler]}
            )
            for n in range(4)
        ]
        await asyncio.gather(*runs)

    asyncio.run(main())
    found = traces(handler, store)
    assert [len(trace.steps) for trace in found] == [3, 3, 3, 3]
    for trace in found:
        assert trace.steps[1].parent_id == trace.steps[0].id
        assert trace.steps[2].output is not None
        assert trace.steps[1].result == trace.steps[2].output.content


def test_a_plain_chain_is_a_trace(handler: Handler, store: Store) -> None:
    """prompt | model: one trace with one model step."""
    chain = ChatPromptTemplate.from_messages([("user", "{x}")]) | ScriptedModel(script=["fine"])
    chain.invoke({"x": "How are you?"}, config={"callbacks": [handler], "run_name": "greeting"})
    trace = only(handler, store)
    assert (trace.name, trace.status) == ("greeting", "ok")
    assert kinds(trace) == [("model", "ok")]
    assert trace.steps[0].input[0].content == "How are you?"


def test_a_lone_model_call_is_a_trace(handler: Handler, store: Store) -> None:
    """Without any chain the model run is root and step at once."""
    ScriptedModel(script=["fine"]).invoke("Hello", config={"callbacks": [handler]})
    trace = only(handler, store)
    assert trace.name == "ScriptedModel"
    assert kinds(trace) == [("model", "ok")]
    assert trace.id != trace.steps[0].id


def test_an_agent_inside_a_tool_nests_under_that_tool(handler: Handler, store: Store) -> None:
    """Its model step's parent is the tool step; equal call ids inside and outside do not mix."""
    inner = agent(AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), "three", tools=[add])

    @tool
    def research(question: str) -> str:
        """Ask another agent."""
        return str(inner.invoke({"messages": [("user", question)]})["messages"][-1].content)

    asked = AIMessage("", tool_calls=[call("research", {"question": "1+2?"})])
    run(handler, asked, "It is three.", tools=[research])
    trace = only(handler, store)
    steps = {(step.kind, step.name if step.kind == "tool" else len(step.input)): step for step in trace.steps}
    researched, added = steps["tool", "research"], steps["tool", "add"]
    outer = [step for step in trace.steps if step.kind == "model" and step.parent_id is None]
    nested = [step for step in trace.steps if step.kind == "model" and step.parent_id is not None]
    assert len(outer) == len(nested) == 2
    assert researched.parent_id == outer[0].id
    assert {step.parent_id for step in nested} == {researched.id}
    assert added.parent_id == nested[0].id
    assert researched.result == "three"
    assert trace.status == "ok"


def test_parallel_sub_agents_with_equal_call_ids_keep_their_own_calls(handler: Handler, store: Store) -> None:
    """Two agents as nodes of one graph, running at once, both calling `call_0`."""

    class State(TypedDict):
        done: str

    gate = threading.Barrier(2)

    @tool
    def pause(who: str) -> str:
        """Wait for the other agent."""
        gate.wait(120)
        return who

    def node(who: str) -> Any:
        sub = agent(AIMessage("", tool_calls=[call("pause", {"who": who})]), who, tools=[pause])

        def go(state: State) -> dict[str, Any]:
            sub.invoke(ASK)
            return {}

        return go

    graph = StateGraph(State)
    for who in ("ada", "bob"):
        graph.add_node(who, node(who))
        graph.add_edge(START, who)
        graph.add_edge(who, END)
    graph.compile().invoke({"done": ""}, config={"callbacks": [handler]})
    trace = only(handler, store)
    by_id = {step.id: step for step in trace.steps}
    ran = tool_steps(trace)
    assert len(ran) == 2
    for step in ran:
        parent = by_id[step.parent_id or ""]
        assert parent.output is not None
        assert parent.output.tool_calls[0].arguments == {"who": step.result}


def test_an_interrupt_is_no_error(handler: Handler, store: Store) -> None:
    """A pause for a human leaves an unfinished tool step; the resumed run finishes it."""

    @tool
    def ask_human(question: str) -> str:
        """Ask a person."""
        return str(interrupt(question))

    asked = AIMessage("", tool_calls=[call("ask_human", {"question": "Sure?"})])
    paused = agent(asked, "Done.", tools=[ask_human], checkpointer=MemorySaver())
    config = {"callbacks": [handler], "configurable": {"thread_id": "t-1"}}
    paused.invoke(ASK, config=config)
    paused.invoke(Command(resume="yes"), config=config)
    before, after = traces(handler, store)
    assert (before.status, before.error, before.session) == ("ok", None, "t-1")
    assert before.metadata["interrupted"] is True
    assert [(s.kind, s.status, s.error) for s in before.steps] == [
        ("model", "ok", None),
        ("tool", "incomplete", None),
    ]
    assert (after.session, after.status) == ("t-1", "ok")
    assert kinds(after) == [("tool", "ok"), ("model", "ok")]
    assert after.steps[0].result == "yes"


def test_a_graph_without_tools_records_its_models(handler: Handler, store: Store) -> None:
    """Model steps are named after their nodes; runs inside lambdas are found by their parents."""

    class State(TypedDict):
        text: str

    def node(answer: str) -> Any:
        model = ScriptedModel(script=[answer])
        return lambda state: {"text": model.invoke([HumanMessage(state["text"])]).content}

    graph = StateGraph(State)
    graph.add_node("plan", node("a plan"))
    graph.add_node("act", node("an act"))
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "act")
    graph.add_edge("act", END)
    graph.compile(name="two-step").invoke({"text": "go"}, config={"callbacks": [handler]})
    trace = only(handler, store)
    assert trace.name == "two-step"
    assert [step.name for step in trace.steps] == ["plan", "act"]
    assert trace.steps[1].input[0].content == "a plan"
