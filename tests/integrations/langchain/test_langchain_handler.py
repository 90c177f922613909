"""The handler itself: cheap, silent when it fails, and true to what it was told."""

from __future__ import annotations

import gc
import logging
import signal
import statistics
import threading
import time
import weakref
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from broken_stores import Broken, Slow
from langchain.agents import create_agent
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from recorded import answer, python, traces
from scripted_model import ScriptedModel, add, call

from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step

Handler = FlashTraceCallbackHandler
ASK = {"messages": [("user", "What is 1 + 2?")]}
SCRIPT = [AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), "3"]


def invoke(handler: Handler) -> str:
    agent = create_agent(ScriptedModel(script=list(SCRIPT)), [add])
    return str(agent.invoke(ASK, config={"callbacks": [handler]})["messages"][-1].content)


def test_the_agent_goes_on_where_the_store_breaks(caplog: pytest.LogCaptureFixture) -> None:
    """Failures are counted, and each kind is logged once."""
    handler = Handler(Broken())  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        assert invoke(handler) == "3"
        assert invoke(handler) == "3"
        assert handler.flush(120)
    assert handler.errors >= 4
    warnings = [record for record in caplog.records if "disk full" in record.getMessage()]
    assert len({record.getMessage() for record in warnings}) == len(warnings) <= 2
    handler.close()


def test_a_callback_that_fails_is_counted_and_swallowed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Nonsense from a framework must not stop the agent."""
    handler = Handler(store)
    handler.on_chat_model_start({}, [[object()]], run_id=uuid4())  # type: ignore[list-item]
    handler.on_chat_model_start({}, [[object()]], run_id=uuid4())  # type: ignore[list-item]
    assert handler.errors == 2
    assert len([record for record in caplog.records if "on_chat_model_start" in record.getMessage()]) == 1
    handler.close()


def test_flush_reports_what_it_could_not_wait_for() -> None:
    """False within the time given, True once everything is written."""
    store = Slow()
    handler = Handler(store)  # type: ignore[arg-type]
    invoke(handler)
    assert handler.flush(0.05) is False
    store.go.set()
    assert handler.flush(120) is True
    handler.close()


def test_close_closes_only_a_store_it_opened(tmp_path: Path) -> None:
    """A store that was passed in stays open; closing twice is harmless."""
    store = Broken()
    handler = Handler(store)  # type: ignore[arg-type]
    handler.close()
    handler.close()
    assert store.closed is False
    with Handler(f"sqlite:///{tmp_path / 'own.db'}") as owner:
        invoke(owner)
    with Store(f"sqlite:///{tmp_path / 'own.db'}") as reopened:
        assert [summary.status for summary in reopened.list_traces()] == ["ok"]


def test_a_handler_nobody_holds_is_freed_with_its_threads(store: Store) -> None:
    """The worker threads hold no handler, and end when it goes."""
    handler = Handler(store)
    invoke(handler)
    reference = weakref.ref(handler)
    before = {thread.name for thread in threading.enumerate()}
    assert "flashtrace-writer" in before
    del handler
    gc.collect()
    assert reference() is None
    assert "flashtrace-writer" not in {thread.name for thread in threading.enumerate()}


def test_the_process_writes_what_is_queued_when_it_ends(tmp_path: Path) -> None:
    """No flush, no close: the interpreter's exit does it."""
    url = f"sqlite:///{tmp_path / 'exit.db'}"
    python(
        f"""
        from langchain_core.language_models.fake_chat_models import FakeListChatModel
        from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
        handler = FlashTraceCallbackHandler({url!r})
        FakeListChatModel(responses=["fine"]).invoke("Hello", config={{"callbacks": [handler]}})
        """
    )
    with Store(url) as store:
        (summary,) = store.list_traces()
        assert (summary.status, summary.steps) == ("ok", 1)


def test_a_killed_agent_leaves_an_incomplete_trace(tmp_path: Path) -> None:
    """SIGKILL in the middle of a tool: the trace and its finished step are there, and say so."""
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from langchain.agents import create_agent
        from langchain_core.messages import AIMessage
        from langchain_core.tools import tool
        from scripted_model import ScriptedModel, call
        from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
        handler = FlashTraceCallbackHandler({url!r})
        @tool
        def die() -> str:
            "Kill this process."
            handler.flush(120)
            os.kill(os.getpid(), signal.SIGKILL)
        model = ScriptedModel(script=[AIMessage("", tool_calls=[call("die", {{}})])])
        create_agent(model, [die]).invoke({{"messages": [("user", "x")]}}, config={{"callbacks": [handler]}})
        """
    assert python(script, check=False) == -signal.SIGKILL
    with Store(url) as store:
        (summary,) = store.list_traces()
        trace = store.get_trace(summary.id)
    assert (trace.status, trace.ended_at) == ("incomplete", None)
    assert [(step.kind, step.status) for step in trace.steps] == [("model", "ok")]


def test_importing_the_handler_loads_no_torch() -> None:
    """Recording needs neither torch nor transformers."""
    python(
        """
        import sys
        from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler, handler
        assert "torch" not in sys.modules, "torch"
        """
    )


def test_exact_token_ids_come_from_the_response_metadata(handler: Handler, store: Store) -> None:
    """Ids, settings, usage and finish reason of the process that generated them."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id, invocation_params={"top_p": 0.9})
    ids = {
        "prompt_token_ids": [1, 2, 3],
        "completion_token_ids": [4, 5],
        "chat_template_hash": "abc",
        "template_kwargs": {"enable_thinking": False},
        "chat_template": None,
    }
    response = answer("Hello", model_name="tiny", finish_reason="length", flashtrace=ids)
    response.generations[0][0].message.usage_metadata = {  # type: ignore[union-attr]
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
    }
    handler.on_llm_end(response, run_id=run_id)
    (trace,) = traces(handler, store)
    (step,) = trace.steps
    assert (step.prompt_ids, step.completion_ids) == ([1, 2, 3], [4, 5])
    assert step.fidelity is Fidelity.EXACT
    assert step.usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert (step.model, step.finish_reason) == ("tiny", "length")
    assert step.settings == {
        "top_p": 0.9,
        "chat_template_hash": "abc",
        "template_kwargs": {"enable_thinking": False},
    }


def test_text_completion_models_are_recorded(handler: Handler, store: Store) -> None:
    """A prompt that is one text is one user message."""
    FakeListLLM(responses=["fine"]).invoke("How are you?", config={"callbacks": [handler]})
    (trace,) = traces(handler, store)
    (step,) = trace.steps
    assert step.input[0].content == "How are you?"
    assert step.output is not None
    assert step.output.content == "fine"


def test_a_text_agents_tool_run_belongs_to_the_model_step_before_it(handler: Handler, store: Store) -> None:
    """Text ReAct: no call id, no inputs, a plain string as output."""
    root, model, ran = uuid4(), uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="react")
    handler.on_llm_start({}, ["Question: 1+2?"], run_id=model, parent_run_id=root)
    handler.on_llm_end(answer("Action: add\nAction Input: 1, 2"), run_id=model, parent_run_id=root)
    handler.on_tool_start({"name": "add"}, "1, 2", run_id=ran, parent_run_id=root)
    handler.on_tool_end("3", run_id=ran, parent_run_id=root)
    handler.on_chain_end({"output": "3"}, run_id=root)
    (trace,) = traces(handler, store)
    wrote, added = trace.steps
    assert (added.parent_id, added.arguments, added.result) == (wrote.id, "1, 2", "3")


def test_a_text_agents_words_become_calls_and_answers(handler: Handler, store: Store) -> None:
    """Where the prompt asks for ReAct, steps are those of an agent with native calls."""
    prompt = "Thought: think\nAction: a tool\nAction Input: its input\nObservation: r\n\nQuestion: 1+2?"
    root, model, ran, last = uuid4(), uuid4(), uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="react")
    handler.on_llm_start({}, [prompt], run_id=model, parent_run_id=root)
    handler.on_llm_end(
        answer("Thought: Add.\nAction: add\nAction Input: 1, 2"), run_id=model, parent_run_id=root
    )
    handler.on_tool_start({"name": "add"}, "1, 2", run_id=ran, parent_run_id=root)
    handler.on_tool_end("3", run_id=ran, parent_run_id=root)
    handler.on_llm_start({}, [prompt], run_id=last, parent_run_id=root)
    handler.on_llm_end(answer("I know.\nFinal Answer: 3"), run_id=last, parent_run_id=root)
    handler.on_chain_end({"output": "3"}, run_id=root)
    (trace,) = traces(handler, store)
    wrote, added, said = trace.steps
    assert wrote.output is not None
    assert said.output is not None
    assert [(call.name, call.arguments) for call in wrote.output.tool_calls] == [("add", {"input": "1, 2"})]
    assert (added.parent_id, added.tool_call_id, added.result) == (wrote.id, "call_0", "3")
    assert (said.output.content, said.output.reasoning) == ("3", "I know.")
    assert said.settings["text"] == "I know.\nFinal Answer: 3"


def test_a_text_agents_call_of_a_missing_tool_is_a_failed_step(handler: Handler, store: Store) -> None:
    """`AgentExecutor` runs a tool of its own in its place, which would hide what the model asked for."""
    prompt = "Thought: think\nAction: a tool\nAction Input: its input\nObservation: r\n\nQuestion: 1+2?"
    root, model, ran = uuid4(), uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="react")
    handler.on_llm_start({}, [prompt], run_id=model, parent_run_id=root)
    handler.on_llm_end(answer("Action: sum\nAction Input: 1, 2"), run_id=model, parent_run_id=root)
    asked = {"requested_tool_name": "sum", "available_tool_names": ["add"]}
    handler.on_tool_start({"name": "invalid_tool"}, str(asked), inputs=asked, run_id=ran, parent_run_id=root)
    told = "sum is not a valid tool, try one of [add]."
    handler.on_tool_end(told, run_id=ran, parent_run_id=root)
    handler.on_chain_end({"output": ""}, run_id=root)
    (trace,) = traces(handler, store)
    wrote, tried = trace.steps
    assert (tried.name, tried.parent_id, tried.arguments) == ("sum", wrote.id, {"input": "1, 2"})
    assert (tried.status, tried.error, tried.result) == ("error", told, told)


def test_a_callback_delivered_twice_changes_nothing(handler: Handler, store: Store) -> None:
    """LangChain may hold one handler in two lists."""
    run_id = uuid4()
    for _ in range(2):
        handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
    for _ in range(2):
        handler.on_llm_end(answer(), run_id=run_id)
    (trace,) = traces(handler, store)
    assert [step.status for step in trace.steps] == ["ok"]
    assert trace.status == "ok"


def test_a_message_changed_after_the_callback_is_recorded_as_it_was(store: Store) -> None:
    """Middleware edits histories in place while the writer has not got to them yet."""
    slow = Slow()
    handler = Handler(slow)  # type: ignore[arg-type]
    message, run_id = HumanMessage("before"), uuid4()
    handler.on_chat_model_start({}, [[message]], run_id=run_id)
    message.content = "after"
    handler.on_llm_end(answer(), run_id=run_id)
    slow.go.set()
    assert handler.flush(120)
    (step,) = {item.id: item for item in slow.written if isinstance(item, Step)}.values()
    assert step.input[0].content == "before"
    handler.close()


def test_a_run_that_outlives_its_root_still_gets_its_step(handler: Handler, store: Store) -> None:
    """A model call in the background may answer after the agent has returned."""
    root, model = uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="agent")
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=model, parent_run_id=root)
    handler.on_chain_end({}, run_id=root)
    (trace,) = traces(handler, store)
    assert [step.status for step in trace.steps] == ["incomplete"]
    handler.on_llm_end(answer("late"), run_id=model, parent_run_id=root)
    (trace,) = traces(handler, store)
    assert (trace.status, [step.status for step in trace.steps]) == ("ok", ["ok"])


def test_ended_runs_leave_nothing_behind(handler: Handler) -> None:
    """Finished agents are forgotten, whatever order their runs end in."""
    for _ in range(3):
        invoke(handler)
    assert len(handler._runs) == 0


def test_labels_are_taken_from_handler_and_run(store: Store) -> None:
    """Name, session, tags and prompt version; the run's own metadata is more specific."""
    handler = Handler(store, name="shop", session="s-0", tags=["eu"], prompt_version="v1")
    model = ScriptedModel(script=["a", "b"])
    model.invoke("x", config={"callbacks": [handler], "tags": ["eu", "beta"], "metadata": {"thread_id": "t"}})
    model.invoke(
        "x", config={"callbacks": [handler], "metadata": {"session_id": "s-9", "prompt_version": "v2"}}
    )
    # Both may start within one millisecond, which is as far as ids sort.
    first, second = sorted(traces(handler, store), key=lambda trace: trace.session or "")
    assert (first.name, first.session, first.tags, first.prompt_version) == (
        "shop",
        "s-0",
        ["eu", "beta"],
        "v1",
    )
    assert (second.session, second.prompt_version) == ("s-9", "v2")
    handler.close()


def test_callbacks_cost_under_a_millisecond(handler: Handler) -> None:
    """Median processor time over 200 model calls with 100 messages, the writer running beside."""
    history: list[Any] = [SystemMessage("Be brief. " * 50)]
    for k in range(33):
        history.append(HumanMessage(f"Question {k}? " * 20))
        history.append(AIMessage("", tool_calls=[call("add", {"a": k, "b": 2}, f"c{k}")]))
        history.append(ToolMessage(str(k + 2), tool_call_id=f"c{k}"))
    tools = {"tools": [{"type": "function", "function": {"name": "add", "parameters": {}}}]}
    seconds: list[float] = []
    for _ in range(200):
        run_id = uuid4()
        begin = time.thread_time()
        handler.on_chat_model_start({}, [history], run_id=run_id, invocation_params=tools)
        seconds.append(time.thread_time() - begin)
        begin = time.thread_time()
        handler.on_llm_end(answer(), run_id=run_id)
        seconds.append(time.thread_time() - begin)
    assert statistics.median(seconds) < 0.001, statistics.median(seconds)
