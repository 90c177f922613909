"""Too much at once, runs that never end, threads and forks: what is kept, and what is said of the rest."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from broken_stores import Slow
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from recorded import answer, python, traces
from scripted_model import ScriptedModel, add, call

from flashtrace_agent.cli.trace_tree import trace_tree
from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.integrations.langchain.runs import ENDED_KEPT, Run, RunTree
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

Handler = FlashTraceCallbackHandler


def ask(handler: Handler, run_id: UUID, parent: UUID, *calls: str) -> None:
    """Let the handler see a model step that calls tools by these ids."""
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id, parent_run_id=parent)
    message = AIMessage("", tool_calls=[call("add", {}, call_id) for call_id in calls])
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]]), run_id=run_id)


def orphans(trace: Trace) -> list[str]:
    """Return the ids of steps whose parent is missing, and of tool steps that have none."""
    known = {step.id for step in trace.steps}
    return [
        step.id
        for step in trace.steps
        if (step.parent_id is None and step.kind == "tool") or step.parent_id not in {None, *known}
    ]


class Full:
    """A handler whose writer stands still, and whose queue fills up at a given moment."""

    def __init__(self, room: int) -> None:
        self.store = Slow()
        self.handler = Handler(self.store, max_queue=room)  # type: ignore[arg-type]
        self.handler.on_chain_start({}, {}, run_id=uuid4(), name="first")
        assert self.store.began.wait(120)  # from here on the queue only grows

    def finish(self) -> list[Trace]:
        self.store.go.set()
        assert self.handler.close(10)
        return [trace for trace in self.store.traces() if trace.name != "first"]


def test_what_is_dropped_is_counted_by_kind_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The trace itself says how many steps it lost, and it still begins and ends."""
    full = Full(room=1)
    root = uuid4()
    full.handler.on_chain_start({}, {}, run_id=root, name="agent")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            ask(full.handler, uuid4(), root)
    full.handler.on_chain_end({}, run_id=root)
    assert full.handler.dropped == 3
    assert full.handler.drops == {"model step: the queue is full": 3}
    assert len([record for record in caplog.records if "dropped a model step" in record.getMessage()]) == 1
    (trace,) = full.finish()
    assert (trace.status, trace.metadata["dropped_steps"]) == ("ok", 3)
    assert trace.ended_at is not None
    assert "3 steps were dropped" in str(trace_tree(trace, [], {}).label)


def test_a_tool_step_is_dropped_with_the_model_step_that_called_it() -> None:
    """Also when there is room again; a later call of the same id is none of its business."""
    full = Full(room=1)
    handler, root, tool = full.handler, uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="agent")
    ask(handler, uuid4(), root, "c0")
    handler._recorder._writer._limit = 100
    handler.on_tool_start({"name": "add"}, "", run_id=tool, parent_run_id=root, tool_call_id="c0")
    ask(handler, uuid4(), tool)  # an agent inside that tool
    handler.on_tool_end("3", run_id=tool)
    ask(handler, uuid4(), root, "c0")
    again = uuid4()
    handler.on_tool_start({"name": "add"}, "", run_id=again, parent_run_id=root, tool_call_id="c0")
    handler.on_tool_end("4", run_id=again)
    handler.on_chain_end({}, run_id=root)
    assert handler.drops == {
        "model step: the queue is full": 1,
        "tool step: the model step that called it was dropped": 1,
        "model step: it happened inside a dropped step": 1,
    }
    (trace,) = full.finish()
    assert [(step.kind, step.status, step.result) for step in trace.steps] == [
        ("model", "ok", None),
        ("tool", "ok", "4"),
    ]
    assert trace.metadata["dropped_steps"] == 3
    assert orphans(trace) == []


@settings(max_examples=25, deadline=None)
@given(
    rooms=st.lists(st.sampled_from([0, 1000]), min_size=6, max_size=12),
    shapes=st.lists(st.integers(0, 3), min_size=6, max_size=12),
)
def test_no_step_that_is_kept_has_lost_its_parent(rooms: list[int], shapes: list[int]) -> None:
    """Whenever the queue is full and whenever not: nested agents, several calls, ids that repeat."""
    full = Full(room=1000)
    handler, root = full.handler, uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="agent")
    above = root
    for room, calls in zip(rooms, shapes, strict=False):
        handler._recorder._writer._limit = room
        ask(handler, uuid4(), above, *(f"c{k}" for k in range(calls)))
        for k in range(calls):
            handler._recorder._writer._limit = room if k else 1000
            tool = uuid4()
            handler.on_tool_start({"name": "add"}, "", run_id=tool, parent_run_id=above, tool_call_id=f"c{k}")
            if k == 1:
                above = tool  # what follows happens inside it
            else:
                handler.on_tool_end("3", run_id=tool)
    handler.on_chain_end({}, run_id=root)
    (trace,) = full.finish()
    assert orphans(trace) == []
    assert len(trace.steps) + trace.metadata.get("dropped_steps", 0) == sum(
        1 + calls for _, calls in zip(rooms, shapes, strict=False)
    )


def test_a_run_idle_for_too_long_is_written_as_incomplete(store: Store) -> None:
    """With its open step; the next run's start is occasion enough to notice."""
    handler = Handler(store, max_idle=0.05)
    root = uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="lost")
    handler.on_tool_start({"name": "sleep"}, "8h", run_id=uuid4(), parent_run_id=root)
    threading.Event().wait(0.1)
    handler.on_chain_start({}, {}, run_id=uuid4(), name="next")
    lost, _ = traces(handler, store)
    assert (lost.name, lost.status, lost.error) == ("lost", "incomplete", "no end was ever seen")
    assert [(step.name, step.status) for step in lost.steps] == [("sleep", "incomplete")]
    assert lost.ended_at is not None
    assert lost.ended_at - lost.started_at < timedelta(seconds=0.09)  # the last sign of life
    handler.on_chain_end({}, run_id=root)  # too late, and harmless
    assert traces(handler, store)[0].status == "incomplete"
    handler.close()


def test_an_idle_writer_looks_after_idle_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else need happen in the process."""
    monkeypatch.setattr("flashtrace_agent.integrations.langchain.worker.TICK_S", 0.05)
    handler = Handler(store, max_idle=0.1)
    handler.on_chain_start({}, {}, run_id=uuid4(), name="lost")
    for _ in range(100):
        (trace,) = traces(handler, store)
        if trace.ended_at is not None:
            break
        threading.Event().wait(0.05)
    assert (trace.status, trace.error) == ("incomplete", "no end was ever seen")
    assert len(handler._runs) == 0
    handler.close()


def test_too_many_open_runs_cost_the_oldest_traces_whole(store: Store) -> None:
    """The root leaves together with what is under it, so nothing changes its parent."""
    handler = Handler(store, max_open_runs=10)
    for k in range(6):
        root = uuid4()
        handler.on_chain_start({}, {}, run_id=root, name=f"agent-{k}")
        for _ in range(2):
            handler.on_chain_start({}, {}, run_id=uuid4(), parent_run_id=root, name="node")
    handler.on_chain_start({}, {}, run_id=uuid4(), name="last")
    assert len(handler._runs) <= 10
    found = traces(handler, store)
    ended = sorted(trace.name for trace in found if trace.ended_at is not None)
    assert ended == ["agent-0", "agent-1", "agent-2"]
    assert {trace.status for trace in found} == {"incomplete"}
    handler.close()


def test_closing_writes_what_is_still_running(store: Store) -> None:
    """A step that began is there, and says that nobody saw its end."""
    handler = Handler(store)
    root = uuid4()
    handler.on_chain_start({}, {}, run_id=root, name="agent")
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=uuid4(), parent_run_id=root)
    assert handler.close()
    (summary,) = store.list_traces()
    trace = store.get_trace(summary.id)
    assert (trace.status, trace.error) == ("incomplete", "the recording was closed before the run ended")
    assert [step.status for step in trace.steps] == ["incomplete"]


def test_a_long_trace_does_not_remember_all_its_runs() -> None:
    """A server that is one endless run: ended runs go, open ones stay."""
    tree = RunTree()
    root, child = uuid4(), uuid4()
    tree.start(root, None, "chain", "server", None, None)
    tree.start(child, root, "chain", "node", None, None)
    for _ in range(3 * ENDED_KEPT):
        run_id = uuid4()
        tree.start(run_id, root, "model", "m", None, None)
        tree.end(run_id)
    assert len(tree) == ENDED_KEPT + 2
    inside = tree.start(uuid4(), child, "model", "m", None, None)
    assert inside is not None
    assert inside.root.id == root


def test_runs_are_freed_without_the_garbage_collector() -> None:
    """Runs refer upwards only: memory stays flat however seldom the collector comes."""
    gc.collect()
    gc.disable()
    before = _alive()
    try:
        tree = RunTree()
        for _ in range(100):
            root, child = uuid4(), uuid4()
            tree.start(root, None, "chain", "agent", None, None)
            tree.start(child, root, "model", "m", None, None)
            tree.end(child)
            tree.end(root)
        assert _alive() == before
    finally:
        gc.enable()


def _alive() -> int:
    return sum(type(item) is Run for item in gc.get_objects())


def test_many_threads_lose_no_step(store: Store) -> None:
    """Sixteen agents at once, forty steps each: every step is there, with its parent."""
    handler = Handler(store)

    def one(name: str) -> None:
        asked = [AIMessage("", tool_calls=[call("add", {"a": k, "b": 1}, f"c{k}")]) for k in range(20)]
        agent = create_agent(ScriptedModel(script=[*asked, name]), [add])
        config: Any = {"callbacks": [handler], "run_name": name, "recursion_limit": 100}
        agent.invoke({"messages": [("user", name)]}, config=config)

    threads = [threading.Thread(target=one, args=(f"agent-{k}",)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = traces(handler, store)
    assert (handler.errors, handler.dropped) == (0, 0)
    assert sorted(trace.name for trace in found) == sorted(f"agent-{k}" for k in range(16))
    for trace in found:
        assert [step.kind for step in trace.steps].count("model") == 21
        results = {step.result for step in trace.steps if step.kind == "tool"}
        assert results == {str(k + 1) for k in range(20)}
        assert orphans(trace) == []
        assert trace.steps[-1].output is not None
        assert trace.steps[-1].output.content == trace.name
    handler.close()


def test_what_a_parent_has_queued_is_written_by_the_parent_alone(tmp_path: Path) -> None:
    """A child of a fork begins with an empty queue and writes its own runs."""
    python(
        f"""
        import os, sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from langchain_core.language_models.fake_chat_models import FakeListChatModel
        from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
        log, go = Path({str(tmp_path)!r}, "log"), Path({str(tmp_path)!r}, "go")

        class Logging:
            def write_together(self, traces, steps, **jobs):
                while not go.exists():
                    time.sleep(0.01)
                with log.open("a") as file:
                    for item in [*traces, *steps]:
                        print(os.getpid(), item.name, item.id, file=file)

        handler = FlashTraceCallbackHandler(Logging())

        def run(name):
            model = FakeListChatModel(responses=["fine"])
            model.invoke("Hello", config={{"callbacks": [handler], "run_name": name}})

        for _ in range(3):
            run("parent")
        child = os.fork()
        go.touch()
        if not child:
            run("child")
            os._exit(0 if handler.flush(120) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert handler.flush(120)
        assert handler.dropped == handler.errors == 0
        written = [line.split() for line in log.read_text().splitlines()]
        pids = {{name: {{int(pid) for pid, other, _ in written if other == name}} for _, name, _ in written}}
        assert pids == {{"parent": {{os.getpid()}}, "child": {{child}}}}, pids
        assert len({{i for _, name, i in written if name == "parent"}}) == 6
        assert len({{i for _, name, i in written if name == "child"}}) == 2
        """
    )


def test_forks_of_a_busy_process_neither_hang_nor_harm_the_store(tmp_path: Path) -> None:
    """Children are made while other threads record, and record themselves, into the same file.

    The callbacks are called by hand: LangChain's own locks do not survive a fork at any moment.
    """
    url = f"sqlite:///{tmp_path / 'forks.db'}"
    python(
        f"""
        import os, sys, threading
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from uuid import uuid4
        from recorded import one_call, answer
        from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
        handler = FlashTraceCallbackHandler({url!r}, max_queue=1_000_000)
        stop = threading.Event()
        response = answer("fine")

        def busy():
            while not stop.wait(0.001):
                one_call(handler, response)

        threads = [threading.Thread(target=busy, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(12):
            child = os.fork()
            if not child:
                handler.on_chain_start({{}}, {{}}, run_id=(root := uuid4()), name="child")
                handler.on_chain_end({{}}, run_id=root)
                os._exit(0 if handler.flush(120) and handler.errors == 0 else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, status
        stop.set()
        for thread in threads:
            thread.join()
        assert handler.close()
        assert handler.dropped == handler.errors == 0, (handler.drops, handler._recorder.failures.by_kind)
        """
    )
    with Store(url) as store:
        assert store.check() == []
        summaries = store.list_traces(limit=100_000)
        assert Counter(summary.name for summary in summaries)["child"] == 12
        assert {summary.status for summary in summaries} == {"ok"}


def test_nothing_is_taken_after_closing(store: Store) -> None:
    """Later runs are none of a closed handler's business; they are counted."""
    handler = Handler(store)
    handler.close()
    root = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=root)
    handler.on_llm_end(answer(), run_id=root)
    assert handler.drops == {"model step: the handler is closed": 1}
    assert store.list_traces() == []
