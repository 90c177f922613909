"""Where an answer came from across all steps of a run, as a Sankey diagram."""

from __future__ import annotations

import shlex

import streamlit as st

from flashtrace_agent.count_of import count_of
from flashtrace_agent.dashboard.data import open_store, open_trace, store_option
from flashtrace_agent.dashboard.header import show_trace_header
from flashtrace_agent.dashboard.links import TRACE, WHY, query, settle_trace
from flashtrace_agent.dashboard.step_tree import asset
from flashtrace_agent.dashboard.text import clip, plain
from flashtrace_agent.html import FIDELITY_HELP, NOTE
from flashtrace_agent.trace import Trace
from flashtrace_agent.trajectory import Trajectory


def _empty(trace: Trace) -> None:
    if not any(step.kind == "model" for step in trace.steps):
        st.info("This trace has no model step, so there is nothing to trace back.")
        return
    with st.container(border=True, width=820):
        st.subheader("This run has not been traced back yet", anchor=False)
        st.write("This traces its final answer back through all steps, and stores the result:")
        command = ["flashtrace-agent", "show", trace.id, "--trajectory", *store_option()]
        st.code(shlex.join(command), language="bash", wrap_lines=True)
        st.caption("Add --step and --target to trace another part back, as in --target tool\\_name\\.")
        st.button("Refresh", icon=":material/refresh:")


def _choose(trace: Trace, found: list[Trajectory]) -> Trajectory:
    numbers = {step.id: number for number, step in enumerate(trace.steps, start=1)}

    def label(index: int) -> str:
        one = found[index]
        return f"step {numbers[one.step_id]} · {one.target_name}: {clip(one.text, 70)}"

    chosen: int = st.selectbox(
        "Traced back",
        range(len(found)),
        index=len(found) - 1,
        format_func=label,
        key=f"trajectory-{trace.id}",
    )
    return found[chosen]


def _show_ends(trajectory: Trajectory) -> None:
    """Show the same as a table: where the words come from."""
    ends = trajectory.ends()
    st.dataframe(
        {
            "Source": [node.label for node in ends],
            "Share": [node.mass for node in ends],
            "Text": [clip(node.text, 120) for node in ends],
            "Strongest words": [node.words for node in ends],
            "Note": [node.note for node in ends],
        },
        hide_index=True,
        height="content" if len(ends) < 12 else 440,
        column_config={
            "Share": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
            "Text": st.column_config.TextColumn(width="large"),
        },
    )


def main() -> None:
    """Draw the page."""
    trace = open_trace()
    if trace is None:
        return
    settle_trace(trace.id)
    show_trace_header(trace)
    found = open_store().get_trajectories(trace.id)
    if not found:
        _empty(trace)
        return
    one = _choose(trace, found)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            plain(
                f"fidelity {one.fidelity} · {one.method}, {count_of(one.hops, 'hop')} · {one.model} · "
                f"{count_of(len(one.steps), 'step')} attributed"
            ),
            help=plain(f"{FIDELITY_HELP.get(one.fidelity, '')} {NOTE}"),
            width="content",
        )
        st.page_link(
            WHY,
            label="Why, token by token",
            icon=":material/local_fire_department:",
            query_params=query(trace.id, one.step_id, one.target_name),
        )
    names = {step.id: f"step {number}" for number, step in enumerate(trace.steps, start=1)}
    mount = st.components.v2.component("flashtrace_sankey", css=asset("sankey.css"), js=asset("sankey.js"))
    chosen = mount(
        data=one.to_dict() | {"names": names},
        key=f"sankey-{trace.id}",
        on_chosen_change=lambda: None,
    ).chosen
    if chosen:
        st.switch_page(TRACE, query_params=query(trace.id, str(chosen)))
    _show_ends(one)


main()
