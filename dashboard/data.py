"""Where the pages get their traces from: one store per server process, opened on first use."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import ToolCall
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace

from .kept import kept
from .links import TRACES, asked, query
from .text import plain


def open_store() -> Store:
    """Return the store, shared by all sessions of this server."""
    url = Store.default_url()
    path = Path(url.removeprefix("sqlite:///"))
    return _open(url, path.stat().st_ino if path.exists() else 0)


@kept(show_spinner="Opening the store …", max_entries=1)
def _open(url: str, file: int) -> Store:
    """Open the store anew where its file was deleted and another one made: the old one would be read on."""
    return Store(url)


def open_trace() -> Trace | None:
    """Return the trace of the address; where there is none, say so and return None."""
    wanted = asked("trace")
    if wanted is None:
        st.info("Choose a trace from the list first.", icon=":material/list:")
    else:
        try:
            return open_store().get_trace(wanted)
        except StoreError as error:
            st.error(plain(str(error)), icon=":material/error:")
    st.page_link(TRACES, label="Go to the list of traces")
    return None


def store_option() -> list[str]:
    """Return the words that name the store in a command; none where its URL may hold a password."""
    url = Store.default_url()
    return ["--store", url] if url.startswith("sqlite") else []


def attribute_command(trace: Trace, step: Step) -> str:
    """Return the shell command that attributes `step`, ready to paste."""
    target = "tool_name" if step.output is not None and step.output.tool_calls else "answer"
    words = ["flashtrace-agent", "attribute", trace.id, "--step", step.id, "--target", target]
    return shlex.join(words + store_option())


def results_of_calls(trace: Trace, step: Step) -> dict[str, Step]:
    """Return the tool steps that answer the calls of model step `step`, by call id.

    Call ids may repeat between rounds, so only tool steps that `step` caused count, or, where
    the parent is not known, those before the next model step.
    """
    found: dict[str, Step] = {}
    after = trace.steps[position_of(trace, step) + 1 :]
    for later in after:
        if later.kind == "tool" and later.parent_id == step.id and later.tool_call_id:
            found.setdefault(later.tool_call_id, later)
    for later in after:
        if later.kind == "model":
            break
        if later.tool_call_id:
            found.setdefault(later.tool_call_id, later)
    return found


def position_of(trace: Trace, step: Step) -> int:
    """Return the index of `step` in its trace."""
    return next(index for index, other in enumerate(trace.steps) if other.id == step.id)


def unknown_tools(step: Step, calls: Iterable[ToolCall]) -> list[str]:
    """Return the names `calls` use that the step's offered tools do not have, each once."""
    offered = {tool.name for tool in step.tools}
    return list(dict.fromkeys(call.name for call in calls if offered and call.name not in offered))


def opening_step(trace: Trace) -> Step:
    """Return the step a trace that has steps opens at: the first fault, else the last answer."""
    models = [step for step in trace.steps if step.kind == "model"]
    return _first_fault(trace) or (models or trace.steps)[-1]


def opening_query(trace_id: str) -> dict[str, str]:
    """Return the query of a link to a trace, with the step it opens at.

    A page that has to complete its address makes one more stop for the browser's back button.
    """
    trace = open_store().get_trace(trace_id)
    return query(trace.id, opening_step(trace).id if trace.steps else None)


def _first_fault(trace: Trace) -> Step | None:
    """Return the first step that went wrong: its status is error, or it calls an unknown tool."""
    for step in trace.steps:
        calls = step.output.tool_calls if step.output is not None else ()
        if step.status == "error" or unknown_tools(step, calls):
            return step
    return None
