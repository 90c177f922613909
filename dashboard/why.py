"""Why the model wrote what it wrote: choose a target of a step, see the prompt light up."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.dashboard.data import attribute_command, open_store, position_of
from flashtrace_agent.dashboard.heatmap import heatmap
from flashtrace_agent.dashboard.links import TRACE, TRACES, asked, query, settle
from flashtrace_agent.dashboard.text import call_text, clip, plain
from flashtrace_agent.errors import StoreError
from flashtrace_agent.html import render_html
from flashtrace_agent.trace import Step, Trace


def _choose_step(trace: Trace, models: Sequence[Step]) -> Step:
    by_id = {step.id: step for step in models}
    wanted = asked("step")
    step = next((one for one in models if wanted and one.id.startswith(wanted)), None)
    if wanted and step is None:
        st.warning(f"No model step {plain(clip(wanted))} in this trace\\.", icon=":material/link_off:")
    chosen = st.selectbox(
        "Step",
        list(by_id),
        index=list(by_id).index((step or models[0]).id),
        format_func=lambda step_id: _step_label(trace, by_id[step_id]),
        label_visibility="collapsed",
        key=f"why-step-{trace.id}",
    )
    return by_id[chosen]


def _step_label(trace: Trace, step: Step) -> str:
    number = position_of(trace, step) + 1
    if step.output is None:
        return f"{number} · no output"
    said = [call_text(call) for call in step.output.tool_calls] or [step.output.content or "empty message"]
    return f"{number} · {clip(', '.join(said), 60)}"


def _choose_target(step: Step, attributions: Sequence[Attribution]) -> Attribution:
    """Let the reader choose among the targets; those computed in several ways are told apart."""
    names = [one.target_name for one in attributions]
    wanted = asked("target")
    linked = step.id.startswith(asked("step") or "")  # else the address is still that of the step before
    if wanted and linked and wanted not in names:
        st.info(f"The target {plain(clip(wanted))} has not been attributed yet\\.", icon=":material/info:")
    index = names.index(wanted) if wanted in names else 0

    def label(number: int) -> str:
        one = attributions[number]
        how = f" ({one.method}, {len(one.hops)} passes)" if names.count(one.target_name) > 1 else ""
        return f"{plain(one.target_name)} **{plain(clip(one.target_text, 32))}**{plain(how)}"

    chosen = st.segmented_control(
        "Target: explain this part of what the model wrote",
        range(len(attributions)),
        default=index,
        required=True,
        format_func=label,
        key=f"target-{step.id}",
    )
    return attributions[chosen if chosen is not None else index]


def _empty(trace: Trace, step: Step) -> None:
    with st.container(border=True, width=820):
        st.subheader("This step has not been attributed yet", anchor=False)
        st.write("Compute it with this command, then refresh:")
        st.code(attribute_command(trace, step), language="bash", wrap_lines=True)
        st.button("Refresh", icon=":material/refresh:")


def _show(trace: Trace, models: Sequence[Step]) -> None:
    store = open_store()
    head, controls = st.columns([2, 3], vertical_alignment="center")
    head.header(f"Why: {plain(clip(trace.name, 40))}", anchor=False)
    with controls.container(horizontal=True, vertical_alignment="center"):
        step = _choose_step(trace, models)
        attributions = store.get_attributions(step.id)
        if attributions:
            st.download_button(
                "Save as a page",
                lambda: render_html(attributions, f"{trace.name}: step {position_of(trace, step) + 1}"),
                file_name=f"{step.id}.html",
                mime="text/html",
                icon=":material/download:",
                help="All targets of this step in one HTML file that needs no server.",
                on_click="ignore",
            )
        st.page_link(
            TRACE, label="Conversation", icon=":material/forum:", query_params=query(trace.id, step.id)
        )
    if step.fidelity_reason:
        st.caption(plain(f"Token ids are {step.fidelity}: {step.fidelity_reason}"))
    if not attributions:
        settle(trace=trace.id, step=step.id, target=asked("target"))
        _empty(trace, step)
        return
    chosen = _choose_target(step, attributions)
    settle(trace=trace.id, step=step.id, target=chosen.target_name)
    heatmap([chosen], key=f"heatmap-{step.id}")


def main() -> None:
    """Draw the page."""
    wanted = asked("trace")
    if wanted is None:
        st.info("Choose a trace from the list first.", icon=":material/list:")
        st.page_link(TRACES, label="Go to the list of traces")
        return
    try:
        trace = open_store().get_trace(wanted)
    except StoreError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.page_link(TRACES, label="Go to the list of traces")
        return
    models = [step for step in trace.steps if step.kind == "model"]
    if not models:
        st.header(f"Why: {plain(trace.name)}", anchor=False)
        st.info("This trace has no model step, so there is nothing to attribute.")
        return
    _show(trace, models)


main()
