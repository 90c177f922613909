"""Events in, traces and steps out: who called whom, and what was answered without having run.

1. A trace is a root run; every model run and tool run below it is a step.
2. A model step's parent is the tool step it happens inside (a nested agent), else none.
3. A tool step's parent is the model step that called it: the one that made a call of that id.
   Ids repeat between rounds (``call_0`` each time) and between parallel sub-agents, and a tool that
   is run by hand has none, so among the candidates inside the same tool those with its arguments
   come first, then the one closest in the tree of runs, then the latest step, and its first call.
4. A call that was answered although no tool ran (a tool that does not exist) becomes a tool
   step of its own, from the ToolMessage that answers it.

It runs on one thread and knows nothing of queues.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from flashtrace_agent.message import ToolCall
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

from ..blocks import users_tags, written_arguments
from .events import (
    Event,
    Failure,
    ModelEnded,
    ModelStarted,
    ToolAnswers,
    ToolEnded,
    ToolStarted,
    TraceEnded,
    TraceStarted,
)
from .runs import Run
from .snapshot import Snapshot
from .steps import (
    answered_step,
    close_model_step,
    close_tool_step,
    open_model_step,
    open_tool_step,
    plain_items,
    step_id,
    take_result,
    tool_answer,
)

FINISHED_KEPT = 32
"""Finished traces kept for runs that end after their root."""

CALLS_KEPT = 4096
"""The latest calls and model steps of a trace that a tool step is compared with."""


class Sink(Protocol):
    """Where traces and steps go."""

    def write_trace(self, trace: Trace) -> None:
        """Write a trace's header, again if it has changed."""

    def write_step(self, step: Step) -> None:
        """Write a step, again if it has changed."""


@dataclass(slots=True)
class Labels:
    """What the handler's user says about its traces."""

    name: str | None = None
    session: str | None = None
    tags: Sequence[str] = ()
    prompt_version: str | None = None


@dataclass(slots=True)
class _Call:
    """One tool call a model step made, and the tool step that answered it."""

    made: ToolCall
    index: int
    run: Run
    step: Step
    answer: Step | None = None


@dataclass(slots=True)
class _State:
    """A trace under construction."""

    trace: Trace
    root: Run
    open: dict[UUID, tuple[Run, Step]] = field(default_factory=dict)
    exact: list[str] = field(default_factory=list)
    """Ids of the model steps whose token ids are known exactly."""
    models: deque[tuple[Run, Step]] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    calls: deque[_Call] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))


class Assembler:
    """Turns one handler's events into traces and steps, and writes them as they end.

    Args:
        sink: where they are written.
        labels: what the user says about the traces.
        on_finished: called when a trace has ended with the ids of its model steps whose token
            ids are known exactly.
    """

    def __init__(
        self, sink: Sink, labels: Labels, on_finished: Callable[[list[str]], None] | None = None
    ) -> None:
        self._sink = sink
        self._labels = labels
        self._on_finished = on_finished
        self.renew()

    def renew(self) -> None:
        """Forget everything: in a forked child, what is under construction is the parent's."""
        self._states: dict[UUID, _State] = {}
        self._finished: deque[_State] = deque()

    def handle(self, event: Event) -> None:
        """Take in one event."""
        root = event.run.root
        if root.closed:
            return
        state = self._states.get(root.id) or self._open(root)
        self._dispatch(state, event)

    def _dispatch(self, state: _State, event: Event) -> None:
        match event:
            case TraceStarted():
                self._sink.write_trace(state.trace)
            case ModelStarted():
                self._reconcile(state, event.run, event.answers)
                step = open_model_step(event, state.trace.id)
                tool = event.run.enclosing_tool
                step.parent_id = step_id(tool) if tool else None
                state.open[event.run.id] = (event.run, step)
            case ModelEnded():
                self._end_model(state, event)
            case ToolStarted():
                step = open_tool_step(event, state.trace.id)
                state.open[event.run.id] = (event.run, step)
                if step.tool_call_id:
                    self._adopt(state, event.run, step)
            case ToolEnded():
                self._end_tool(state, event)
            case ToolAnswers():
                self._reconcile(state, event.run, event.answers)
            case TraceEnded():
                self._end_trace(state, event)

    def _open(self, root: Run) -> _State:
        labels, metadata = self._labels, root.metadata
        session = metadata.get("session_id") or labels.session or metadata.get("thread_id")
        version = metadata.get("prompt_version") or labels.prompt_version
        trace = Trace(
            # Not the root's run id alone: where the root is a model run, that is its step's id.
            id=make_id(root.started_at, f"trace/{root.id}"),
            name=labels.name or root.name,
            started_at=root.started_at,
            session=str(session) if session is not None else None,
            tags=list(dict.fromkeys([*labels.tags, *users_tags(root.tags)])),
            prompt_version=str(version) if version is not None else None,
            metadata=plain_items(metadata),
        )
        state = self._states[root.id] = _State(trace, root)
        return state

    def _end_model(self, state: _State, event: ModelEnded) -> None:
        run, step = state.open.get(event.run.id, (None, None))
        if run is None or step is None:
            return  # its start was dropped
        close_model_step(step, event)  # raises, and it is still open when the trace ends
        del state.open[run.id]
        if step.fidelity is Fidelity.EXACT:
            state.exact.append(step.id)
        # Kept without its history: the histories of a long trace together are quadratic.
        light = replace(step, input=[], tools=[], prompt_ids=None, completion_ids=None)
        state.models.append((run, light))
        calls = step.output.tool_calls if step.output else ()
        state.calls += [_Call(call, index, run, light) for index, call in enumerate(calls)]
        self._sink.write_step(step)

    def _end_tool(self, state: _State, event: ToolEnded) -> None:
        run, step = state.open.get(event.run.id, (None, None))
        if run is None or step is None:
            return
        close_tool_step(step, event)
        del state.open[run.id]
        if step.parent_id is None:
            self._adopt(state, run, step)
        if event.failure is not None and event.failure.kind == "interrupted":
            state.trace.metadata["interrupted"] = True
        self._sink.write_step(step)

    def _adopt(self, state: _State, run: Run, step: Step) -> None:
        """Give a tool step its parent: the model step that called it, else the enclosing tool."""
        call = self._find_call(state, run, partial(_is_same, step))
        call = call or self._find_call(state, run, partial(_may_be_meant, step))
        if call is not None:
            call.answer = step
            step.parent_id = call.step.id
            step.tool_call_id = step.tool_call_id or call.made.id or None
            step.arguments = written_arguments(call.made)  # free of what a framework injects
            return
        tool = run.enclosing_tool
        step.parent_id = step_id(tool) if tool else self._latest_text_model(state, run, step)

    def _find_call(self, state: _State, run: Run, wanted: Callable[[_Call], bool]) -> _Call | None:
        inside = run.enclosing_tool
        best: _Call | None = None
        best_depth = -1
        for call in state.calls:
            if call.run.enclosing_tool is inside and wanted(call):
                depth = call.run.common_depth(run)
                if best is None or depth > best_depth or (depth == best_depth and call.step is not best.step):
                    best, best_depth = call, depth
        return best

    def _latest_text_model(self, state: _State, run: Run, step: Step) -> str | None:
        """Return the model step a text agent's tool run (no call ids anywhere) belongs to."""
        if step.tool_call_id:
            return None
        best: str | None = None
        best_depth = -1
        for model_run, model_step in state.models:
            depth = model_run.common_depth(run)
            called = model_step.output.tool_calls if model_step.output else ()
            if model_run.enclosing_tool is None and not called and depth >= best_depth:
                best, best_depth = model_step.id, depth
        return best

    def _reconcile(self, state: _State, run: Run, answers: Sequence[Snapshot]) -> None:
        """Account for every tool result that is seen: complete its step, or make the missing one."""
        for snapshot in answers:
            message = tool_answer(snapshot)
            if message is None or not message.tool_call_id:
                continue
            call = self._find_call(state, run, partial(_has_id, message.tool_call_id))
            if call is None:
                continue  # answers a call of an earlier trace of the session
            if call.answer is None:
                call.answer = answered_step(call.step, call.index, message)
                self._sink.write_step(call.answer)
            elif call.answer.result is None and call.answer.ended_at is not None:
                take_result(call.answer, message)  # the tool raised, and the agent was told so
                self._sink.write_step(call.answer)

    def _end_trace(self, state: _State, event: TraceEnded) -> None:
        trace = state.trace
        trace.ended_at = event.at
        trace.status, trace.error = _outcome(event.failure)
        if event.failure is not None and event.failure.kind == "interrupted":
            trace.metadata["interrupted"] = True
        if state.root.lost:
            trace.metadata["dropped_steps"] = state.root.lost
        for _, step in list(state.open.values()):
            self._sink.write_step(step)  # never ended: written as incomplete
        self._sink.write_trace(trace)
        if self._on_finished is not None:
            self._on_finished(state.exact)
        self._finished.append(state)
        if len(self._finished) > FINISHED_KEPT:
            old = self._finished.popleft()
            old.root.closed = True
            del self._states[old.root.id]


def _outcome(failure: Failure | None) -> tuple[Any, str | None]:
    if failure is None or failure.kind == "interrupted":
        return "ok", None
    if failure.kind == "error":
        return "error", failure.text
    return "incomplete", failure.text


def _has_id(call_id: str, call: _Call) -> bool:
    return call.made.id == call_id


def _may_be_meant(step: Step, call: _Call) -> bool:
    if step.tool_call_id:
        return call.made.id == step.tool_call_id
    return call.answer is None and call.made.name == step.name


def _is_same(step: Step, call: _Call) -> bool:
    return call.answer is None and call.made.arguments == step.arguments and _may_be_meant(step, call)
