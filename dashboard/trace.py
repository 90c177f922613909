"""One trace: its steps on the left, the chosen one on the right with a way to ask why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from flashtrace_agent.dashboard.conversation import (
    show_call,
    show_history,
    show_reasoning,
    show_result,
    show_tools,
)
from flashtrace_agent.dashboard.data import (
    open_store,
    open_trace,
    opening_query,
    opening_step,
    position_of,
    results_of_calls,
    unknown_tools,
)
from flashtrace_agent.dashboard.header import show_step_facts, show_trace_header
from flashtrace_agent.dashboard.links import COMPARE, TRAJECTORY, WHY, asked, query, settle_trace
from flashtrace_agent.dashboard.step_tree import step_tree
from flashtrace_agent.dashboard.text import call_text, clip, plain
from flashtrace_agent.message import ToolCall
from flashtrace_agent.store.jsonl import export_jsonl
from flashtrace_agent.store.plain import step_to_dict
from flashtrace_agent.trace import Step, Trace


def _linked_step(trace: Trace) -> Step:
    """Return the step of the address, else the one the trace opens at."""
    wanted = asked("step")
    step = next((one for one in trace.steps if wanted and one.id.startswith(wanted)), None)
    if wanted and step is None:
        st.warning(f"This trace has no step {plain(clip(wanted))}\\.", icon=":material/link_off:")
    return step or opening_step(trace)


def _go_to(trace: Trace, step_id: str) -> None:
    """Have the next run of the page show another step."""
    st.query_params.from_dict(query(trace.id, step_id))


def _open(trace_id: str) -> None:
    """Have the next run of the page show another trace."""
    st.query_params.from_dict(opening_query(trace_id))


def _show_bar(trace: Trace, step: Step) -> None:
    """Show the way to the steps and traces around, and what can be taken away."""
    position = position_of(trace, step)
    newer, older = open_store().neighbours(trace.id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for label, icon, index in (
            ("Previous step", ":material/arrow_upward:", position - 1),
            ("Next step", ":material/arrow_downward:", position + 1),
        ):
            beside = trace.steps[index] if 0 <= index < len(trace.steps) else step
            st.button(label, icon=icon, disabled=beside is step, on_click=_go_to, args=(trace, beside.id))
        st.page_link(
            TRAJECTORY,
            label="Trajectory",
            icon=":material/conversion_path:",
            query_params=query(trace.id),
            width="content",
        )
        st.page_link(
            COMPARE,
            label="Compare",
            icon=":material/compare_arrows:",
            query_params={"by": "traces", "a": trace.id} | ({"b": older} if older else {}),
            width="content",
        )
        st.space("stretch")
        for label, icon, other in (
            ("Newer trace", ":material/chevron_left:", newer),
            ("Older trace", ":material/chevron_right:", older),
        ):
            st.button(label, icon=icon, disabled=other is None, on_click=_open, args=(other,))
        st.download_button(
            "Download",
            lambda: _export(trace.id),
            file_name=f"{trace.id}.jsonl",
            mime="application/jsonl",
            icon=":material/download:",
            help="The whole trace with its attributions, as `flashtrace-agent import` reads it.",
            on_click="ignore",
        )


def _export(trace_id: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.jsonl"
        export_jsonl(open_store(), path, f"trace = '{trace_id}'")
        return path.read_bytes()


def _show_step(trace: Trace, step: Step) -> None:
    show = _show_model_step if step.kind == "model" else _show_tool_step
    show(trace, step)


def _show_model_step(trace: Trace, step: Step) -> None:
    st.subheader("The model was given", anchor=False)
    show_tools(step.tools)
    show_history(step.input)
    st.subheader("The model wrote", anchor=False)
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
    st.subheader("Called as", anchor=False)
    st.code(
        call_text(ToolCall(step.tool_call_id or "", step.name, arguments)), language="python", wrap_lines=True
    )
    if caller is not None:
        _why(trace, caller, "tool_name", "Why was it called?")
    st.subheader("Returned", anchor=False)
    if step.error:
        st.error(plain(step.error), icon=":material/error:")
    elif step.result is None:
        st.caption("Nothing yet.")
    else:
        show_result(step.result)


def main() -> None:
    """Draw the page."""
    trace = open_trace()
    if trace is None:
        return
    show_trace_header(trace)
    if not trace.steps:
        st.info("This trace has no steps yet; refresh when the agent has made its first call.")
        return
    step = _linked_step(trace)
    settle_trace(trace.id, step.id)
    _show_bar(trace, step)
    steps, detail = st.columns([2, 5], gap="medium")
    with steps:
        step_tree(trace, step, key=f"tree-{trace.id}", on_choose=lambda chosen: _go_to(trace, chosen))
    with detail:
        show_step_facts(step)
        conversation, raw = st.tabs(["Conversation", "Raw"], on_change="rerun", key="step-view")
        if raw.open:  # else not sent at all: it may be megabytes
            raw.json(step_to_dict(step), expanded=1)
        else:
            with conversation:
                _show_step(trace, step)


main()
