"""One trace: its steps on the left, the chosen one on the right with a way to ask why."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from flashtrace_agent.dashboard.conversation import (
    show_call,
    show_history,
    show_reasoning,
    show_result,
    show_tools,
)
from flashtrace_agent.dashboard.data import first_fault, open_store, results_of_calls, unknown_tools
from flashtrace_agent.dashboard.header import show_step_facts, show_trace_header
from flashtrace_agent.dashboard.links import TRACES, WHY, asked, query, settle
from flashtrace_agent.dashboard.text import call_text, clip, duration, plain
from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import ToolCall
from flashtrace_agent.trace import Step, Trace


def _choose_step(trace: Trace) -> Step:
    """Let the reader choose; at first the linked step, else the first fault, else the last answer."""
    by_id = {step.id: step for step in trace.steps}
    wanted = asked("step")
    step = next((one for one in trace.steps if wanted and one.id.startswith(wanted)), None)
    if wanted and step is None:
        st.warning(f"This trace has no step {plain(clip(wanted))}\\.", icon=":material/link_off:")
    models = [one for one in trace.steps if one.kind == "model"]
    step = step or first_fault(trace) or (models or trace.steps)[-1]
    numbers = {one.id: number for number, one in enumerate(trace.steps, start=1)}
    chosen = st.radio(
        "Steps",
        list(by_id),
        index=list(by_id).index(step.id),
        format_func=lambda step_id: f"{numbers[step_id]} · {_step_label(by_id[step_id])}",
        captions=[_step_caption(one) for one in trace.steps],
        key=f"step-{trace.id}",
    )
    return by_id[chosen]


def _step_label(step: Step) -> str:
    fault = ":red[:material/error:] " if step.status == "error" else ""
    if step.kind == "tool":
        return f"{fault}:material/build: {plain(step.name)}"
    calls = step.output.tool_calls if step.output is not None else ()
    if unknown_tools(step, calls):
        fault = ":red[:material/error:] "
    if calls:
        said = "calls " + ", ".join(call.name for call in calls)
    elif step.output is not None and step.output.content:
        said = "answers"
    else:
        said = "model call"
    return f"{fault}:material/smart_toy: {plain(said)}"


def _step_caption(step: Step) -> str:
    parts = [duration(step.started_at, step.ended_at) or step.status]
    if step.kind == "model" and step.output is not None and step.output.content:
        parts.append(clip(step.output.content, 40))
    if step.kind == "tool":
        parts.append(clip(step.error or step.result or "", 40))
    return " · ".join(plain(part) for part in parts if part)


def _show_model_step(trace: Trace, step: Step) -> None:
    st.markdown("##### The model was given")
    show_tools(step.tools)
    show_history(step.input)
    st.markdown("##### The model wrote")
    if step.error:
        st.error(plain(step.error), icon=":material/error:")
    if step.output is None:
        st.caption("Nothing: no output was recorded for this step.")
        return
    results = results_of_calls(trace, step)
    with st.chat_message("assistant", avatar=":material/smart_toy:"):
        if step.output.reasoning:
            show_reasoning(step.output.reasoning)
            _why(trace, step, "reasoning", "Why this reasoning?")
        if step.output.content:
            st.text(step.output.content)
            _why(trace, step, "answer", "Why this answer?")
        for number, call in enumerate(step.output.tool_calls, start=1):
            with st.container(border=True):
                show_call(call, results.get(call.id), unknown=bool(unknown_tools(step, [call])))
                _why_call(trace, step, call, number)


def _why_call(trace: Trace, step: Step, call: ToolCall, number: int) -> None:
    suffix = f"#{number}" if number > 1 else ""
    with st.container(horizontal=True):
        _why(trace, step, f"tool_name{suffix}", f"Why {plain(call.name)}?")
        if isinstance(call.arguments, Mapping):
            for name in call.arguments:
                _why(trace, step, f"argument:{name}{suffix}", f"Why this {plain(name)}?")


def _why(trace: Trace, step: Step, target: str, label: str) -> None:
    st.page_link(
        WHY,
        label=label,
        icon=":material/local_fire_department:",
        query_params=query(trace.id, step.id, target),
    )


def _show_tool_step(trace: Trace, step: Step) -> None:
    caller = next((one for one in trace.steps if one.id == step.parent_id and one.kind == "model"), None)
    arguments = step.arguments if step.arguments is not None else {}
    st.markdown("##### Called as")
    st.code(
        call_text(ToolCall(step.tool_call_id or "", step.name, arguments)), language="python", wrap_lines=True
    )
    if caller is not None:
        _why(trace, caller, "tool_name", "Why was it called?")
    st.markdown("##### Returned")
    if step.error:
        st.error(plain(step.error), icon=":material/error:")
    elif step.result is None:
        st.caption("Nothing yet.")
    else:
        show_result(step.result)


def main() -> None:
    """Draw the page."""
    store = open_store()
    wanted = asked("trace")
    if wanted is None:
        st.info("Choose a trace from the list first.", icon=":material/list:")
        st.page_link(TRACES, label="Go to the list of traces")
        return
    try:
        trace = store.get_trace(wanted)
    except StoreError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.page_link(TRACES, label="Go to the list of traces")
        return
    show_trace_header(trace)
    if not trace.steps:
        st.info("This trace has no steps yet; refresh when the agent has made its first call.")
        return
    steps, detail = st.columns([1, 3], gap="large")
    with steps:
        step = _choose_step(trace)
    settle(trace=trace.id, step=step.id)
    with detail:
        show_step_facts(step)
        if step.kind == "model":
            _show_model_step(trace, step)
        else:
            _show_tool_step(trace, step)


main()
