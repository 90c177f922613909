"""The callback handler: watches LangChain and LangGraph runs without getting in their way.

Each callback takes a cheap picture of what happened, finds the run's place in the tree and
queues an event; everything else (conversion, writing, attribution) happens on background
threads. A failure in here is counted and logged, and never reaches the agent.

What a callback costs is measured by ``python benchmarks/capture.py handler``.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables.config import var_child_runnable_config

from flashtrace_agent.redaction import Redaction, Rule
from flashtrace_agent.trace import utc_now

from .assembler import Labels
from .events import (
    Failure,
    ModelEnded,
    ModelStarted,
    ToolAnswers,
    ToolEnded,
    ToolStarted,
    TraceEnded,
    TraceStarted,
)
from .recorder import EXIT_SECONDS, Recorder
from .runs import MAX_IDLE_S, MAX_OPEN_RUNS, Run, RunKind, RunTree, run_name
from .snapshot import take, take_all, trailing_tool_messages

if TYPE_CHECKING:
    from flashtrace_agent.engine.attributor import Attributor
    from flashtrace_agent.store import Store

_Callback = TypeVar("_Callback", bound=Callable[..., None])


def _guarded(callback: _Callback) -> _Callback:
    """Keep every failure of a callback away from the agent; count it, log the first of a kind."""

    @functools.wraps(callback)
    def guard(self: FlashTraceCallbackHandler, *args: Any, **kwargs: Any) -> None:
        try:
            callback(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - tracing must never break what it traces
            self._recorder.failures.note(callback.__name__, error)

    return guard  # type: ignore[return-value]


class FlashTraceCallbackHandler(BaseCallbackHandler):
    """Record agent runs to a store, and explain them where an attributor is given.

    One handler serves any number of runs, one after another or in parallel, sync or async::

        handler = FlashTraceCallbackHandler("sqlite:///traces.db")
        agent.invoke(inputs, config={"callbacks": [handler]})
        handler.flush(timeout=60)

    A process that forks (a web server with workers) may make the handler before or after: the
    runs of each process are recorded by that process.

    Args:
        store: a store or its URL, by default where the command line reads; a store opened from a
            URL is closed with the handler.
        attributor: explains each model step whose exact token ids are known, after its trace has
            ended, on a thread of its own. Without one the runs are recorded and can be
            attributed later.
        targets: what to explain of each step (``tool_name``, ``argument:NAME``, ``answer``,
            ``reasoning``); None for everything it has.
        name: the traces' name; by default that of the root run.
        session: the traces' session where the run's metadata has no ``session_id``; without
            either, the metadata's ``thread_id``.
        tags: tags of every trace, besides those of the root run.
        prompt_version: version of the prompt where the metadata has no ``prompt_version``.
        redact: regular expressions, or a function from a text to what may be written of it; applied
            to every text before anything is written. Token ids of redacted steps are not stored.
        explain_redacted: with an attributor, explain such steps before they are redacted, from
            memory; False for not at all.
        max_queue: events that may wait to be written; steps that begin beyond it are dropped, with
            all that happens inside them, and counted in `drops`.
        max_open_runs: runs remembered at once; beyond it the traces in which nothing has happened
            the longest are written as ``incomplete``.
        max_idle: seconds without any event after which a trace is written as ``incomplete``.

    Raises:
        StoreError: if the store cannot be opened. Nothing else ever raises into the agent.
    """

    run_inline = True
    """In async runs LangChain calls the handler on the event loop, so events keep their order."""

    def __init__(
        self,
        store: str | Store | None = None,
        attributor: Attributor | None = None,
        *,
        targets: Sequence[str] | None = None,
        name: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        prompt_version: str | None = None,
        redact: Rule | None = None,
        explain_redacted: bool = True,
        max_queue: int = 10_000,
        max_open_runs: int = MAX_OPEN_RUNS,
        max_idle: float = MAX_IDLE_S,
    ) -> None:
        super().__init__()
        opened = store is None or isinstance(store, str)
        if store is None or isinstance(store, str):
            from flashtrace_agent.store import Store  # SQLAlchemy: only where it is used

            store = Store(store or Store.default_url())
        self._runs = RunTree(max_open_runs, max_idle)
        self._recorder = Recorder(
            store,
            owns_store=opened,
            runs=self._runs,
            labels=Labels(name, session, tuple(tags), prompt_version),
            attributor=attributor,
            targets=targets,
            max_queue=max_queue,
            redaction=Redaction(redact) if redact is not None else None,
            explain_redacted=explain_redacted,
        )
        # Closes at the interpreter's exit, or when the handler is no longer referenced.
        self._finalizer = weakref.finalize(self, self._recorder.close, EXIT_SECONDS)

    @property
    def errors(self) -> int:
        """How many failures there were in recording or attributing; each kind is logged once."""
        return self._recorder.failures.total

    @property
    def dropped(self) -> int:
        """How many steps and other things were given up; `drops` says which and why."""
        return self._recorder.drops.total

    @property
    def drops(self) -> dict[str, int]:
        """What was given up and why, such as ``{"model step: the queue is full": 3}``.

        Each kind is logged once. A trace that lost steps says how many in its metadata
        (``dropped_steps``).
        """
        return self._recorder.drops.by_kind

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that happened is written and attributed; return whether it is.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.
        """
        return self._recorder.flush(timeout)

    def close(self, timeout: float | None = 60.0) -> bool:
        """Flush for up to `timeout` seconds, stop the threads, close a store opened from a URL.

        Returns whether everything was written. Later events are dropped and counted.
        """
        self._finalizer.detach()
        return self._recorder.close(timeout)

    def __enter__(self) -> FlashTraceCallbackHandler:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # Chains: graphs, nodes, sequences, retrievers. Only the root becomes a row: the trace.

    @_guarded
    def on_chain_start(self, serialized: dict[str, Any] | None, inputs: Any, **run: Any) -> None:
        """Note a run; a root run begins a trace."""
        self._start("chain", serialized, **run)

    @_guarded
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note a run's end, and the tool results in its output."""
        run = self._runs.end(run_id)
        if run is None:
            return
        answers = trailing_tool_messages(outputs)
        if answers and not run.dropped:
            why = self._recorder.submit(ToolAnswers(run, utc_now(), answers))
            if why is not None:
                self._recorder.drops.note("round of tool results", why)
        self._end_trace(run)

    @_guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that a run failed, was interrupted or stopped."""
        run = self._runs.end(run_id)
        if run is not None:
            self._end_trace(run, Failure.of(error))

    @_guarded
    def on_retriever_start(self, serialized: dict[str, Any] | None, query: str, **run: Any) -> None:
        """Note a retriever's run, which may call models itself."""
        self._start("chain", serialized, **run)

    @_guarded
    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note a retriever's end."""
        run = self._runs.end(run_id)
        if run is not None:
            self._end_trace(run)

    on_retriever_error = on_chain_error

    # Models.

    @_guarded
    def on_chat_model_start(
        self, serialized: dict[str, Any] | None, messages: list[list[BaseMessage]], **run: Any
    ) -> None:
        """Begin a model step with the messages and tools the model is given."""
        started = self._start("model", serialized, **run)
        if started is None:
            return
        history = messages[0] if messages else []
        params = run.get("invocation_params") or {}
        answers = trailing_tool_messages(history)
        self._begin(started, ModelStarted(started, take_all(history), None, params, answers))

    @_guarded
    def on_llm_start(self, serialized: dict[str, Any] | None, prompts: list[str], **run: Any) -> None:
        """Begin a model step with the text a text-completion model is given."""
        started = self._start("model", serialized, **run)
        if started is None:
            return
        params = run.get("invocation_params") or {}
        self._begin(started, ModelStarted(started, (), prompts[0] if prompts else "", params, ()))

    @_guarded
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """End a model step with the model's answer."""
        self._end_model(run_id, response, None)

    @_guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a model step with an error, and with the part of the answer that came before it."""
        self._end_model(run_id, kwargs.get("response"), Failure.of(error))

    # Tools.

    @_guarded
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        inputs: dict[str, Any] | None = None,
        **run: Any,
    ) -> None:
        """Begin a tool step."""
        started = self._start("tool", serialized, **run)
        if started is None:
            return
        arguments = input_str if inputs is None else dict(inputs)
        call_id = run.get("tool_call_id")
        if call_id in started.root.lost_calls:
            self._drop(started, "the model step that called it was dropped")
        else:
            self._begin(started, ToolStarted(started, call_id, arguments))

    @_guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End a tool step with the tool's result."""
        self._end_tool(run_id, output, None)

    @_guarded
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a tool step with an error, or with the interrupt that paused it."""
        self._end_tool(run_id, None, Failure.of(error))

    def _start(
        self,
        kind: RunKind,
        serialized: Mapping[str, Any] | None,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> Run | None:
        """Take a run's place in the tree; None where its step is not wanted any more."""
        named = run_name(kind, serialized or {}, metadata or {}, name)
        if parent_run_id is None:
            parent_run_id = self._surrounding_root()
        run = self._runs.start(run_id, parent_run_id, kind, named, tags, metadata)
        if run is None:
            return None
        if run.parent is None:
            self._recorder.give_up_runs()
            self._recorder.submit(TraceStarted(run), keep=True)
        if run.dropped and kind != "chain":
            self._drop(run, "it happened inside a dropped step")
        return None if run.dropped else run

    def _surrounding_root(self) -> UUID | None:
        """Return the open root run that LangChain's context names as the parent of what begins now.

        `with_fallbacks` at the top gives its children the caller's callbacks, which know of no
        parent, and names itself only in the context. The context belongs to a thread or task, so
        parallel runs stay apart; deeper runs always say themselves what their parent is.
        """
        config = var_child_runnable_config.get()
        manager = config.get("callbacks") if config else None
        if not isinstance(manager, BaseCallbackManager) or self not in manager.handlers:
            return None
        return manager.parent_run_id if self._runs.is_open_root(manager.parent_run_id) else None

    def _begin(self, run: Run, event: ModelStarted | ToolStarted) -> None:
        """Begin a step, or give it up with all that will happen inside it.

        What has begun is never dropped afterwards, so a stored step's parent is stored too.
        """
        why = self._recorder.submit(event)
        if why is not None:
            self._drop(run, why)

    def _drop(self, run: Run, why: str) -> None:
        run.dropped = True
        run.root.lost += 1
        self._recorder.drops.note(f"{run.kind} step", why)

    def _end_model(self, run_id: UUID, response: Any, failure: Failure | None) -> None:
        run = self._runs.end(run_id)
        if run is None:
            return
        event = ModelEnded(run, utc_now(), failure=failure)
        if isinstance(response, LLMResult) and response.generations and response.generations[0]:
            generation = response.generations[0][0]
            event.llm_output = response.llm_output
            event.generation_info = generation.generation_info
            if isinstance(generation, ChatGeneration):
                event.message = take(generation.message)
                _note_calls(run, generation.message)
            else:
                event.text = generation.text
        if not run.dropped:
            self._recorder.submit(event, keep=True)
        self._end_trace(run, failure)

    def _end_tool(self, run_id: UUID, output: Any, failure: Failure | None) -> None:
        run = self._runs.end(run_id)
        if run is None:
            return
        event = ToolEnded(run, utc_now(), failure=failure)
        if isinstance(output, BaseMessage):
            event.message = take(output)
        else:
            event.output = output
        if not run.dropped:
            self._recorder.submit(event, keep=True)
        self._end_trace(run, failure)

    def _end_trace(self, run: Run, failure: Failure | None = None) -> None:
        if run.parent is None:
            self._recorder.submit(TraceEnded(run, utc_now(), failure), keep=True)


def _note_calls(run: Run, message: BaseMessage) -> None:
    """Remember which calls nobody will find the model step of; ids repeat, the latest step counts."""
    calls = {call["id"] for call in getattr(message, "tool_calls", ()) if call["id"]}
    if run.dropped:
        run.root.lost_calls |= calls
    elif run.root.lost_calls:
        run.root.lost_calls -= calls
