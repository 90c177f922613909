"""Driving a handler by hand, and reading what it has written."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace


def traces(handler: FlashTraceCallbackHandler, store: Store) -> list[Trace]:
    """Return all traces in the store, oldest first, once the handler has written them."""
    assert handler.flush(120)
    return [store.get_trace(summary.id) for summary in reversed(store.list_traces(limit=1000))]


def answer(text: str = "ok", **metadata: Any) -> LLMResult:
    """Return a model's answer as callbacks get it."""
    message = AIMessage(text, response_metadata=metadata)
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def exact_answer() -> LLMResult:
    """Return an answer that carries its token ids."""
    ids = {"prompt_token_ids": [1, 2, 3], "completion_token_ids": [4, 5]}
    return answer("Hello", model_name="tiny", flashtrace=ids)


def one_call(handler: FlashTraceCallbackHandler, result: LLMResult) -> None:
    """Let the handler see a trace of one model call."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
    handler.on_llm_end(result, run_id=run_id)


def python(source: str, *, check: bool = True) -> int:
    """Run a script in a process of its own; return its exit code, which with `check` must be 0."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stderr
    return done.returncode
