"""The list of traces, newest first; choosing one opens it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from flashtrace_agent.dashboard.data import open_store
from flashtrace_agent.dashboard.links import TRACE, query
from flashtrace_agent.dashboard.text import FIDELITY_COLOR, STATUS_COLOR, duration

PAGE_SIZE = 50


def _table(traces: list[Any]) -> dict[str, list[Any]]:
    return {
        "Time": [trace.started_at for trace in traces],
        "Name": [trace.name for trace in traces],
        "Status": [[trace.status] for trace in traces],
        "Steps": [trace.steps for trace in traces],
        "Tools": [trace.tools for trace in traces],
        "Tokens": [trace.tokens for trace in traces],
        "Took": [duration(trace.started_at, trace.ended_at) for trace in traces],
        "Fidelity": [[trace.fidelity] if trace.fidelity else [] for trace in traces],
        "Session": [trace.session or "" for trace in traces],
        "Tags": [trace.tags for trace in traces],
    }


def _empty(status: str | None) -> None:
    if status is not None:
        st.info(f"No trace has the status {status}.", icon=":material/filter_alt:")
        return
    with st.container(border=True, width=640):
        st.subheader("No traces yet", anchor=False)
        st.write("Run the demo agent on the built-in model; its run appears here:")
        st.code("flashtrace-agent demo", language="bash")
        st.write("Or record your own agent:")
        st.code(
            "from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler\n\n"
            'handler = FlashTraceCallbackHandler(store="sqlite:///traces.db")\n'
            'agent.invoke(inputs, config={"callbacks": [handler]})',
            language="python",
        )


def main() -> None:
    """Draw the page."""
    store = open_store()
    head, controls = st.columns([3, 4], vertical_alignment="center")
    head.header("Traces", anchor=False)
    with controls.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        status = st.segmented_control(
            "Status", list(STATUS_COLOR), label_visibility="collapsed", key="status"
        )
        st.button("Refresh", icon=":material/refresh:")
    if st.session_state.get("listed_status") != status:
        st.session_state["listed_status"] = status
        st.session_state["page_starts"] = []

    # Keyset paging: a page starts below the id that ended the one before it.
    starts: list[str] = st.session_state.setdefault("page_starts", [])
    found = store.list_traces(limit=PAGE_SIZE + 1, before=starts[-1] if starts else None, status=status)
    traces = found[:PAGE_SIZE]
    if not traces and not starts:
        _empty(status)
        return

    event = st.dataframe(
        _table(traces),
        hide_index=True,
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        height="content" if len(traces) < 15 else 570,
        column_config={
            "Time": st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss", width=160),
            "Name": st.column_config.TextColumn(width="medium"),
            "Status": st.column_config.MultiselectColumn(
                options=list(STATUS_COLOR), color=list(STATUS_COLOR.values()), width=110
            ),
            "Steps": st.column_config.NumberColumn(width=70),
            "Tools": st.column_config.ListColumn(width="medium"),
            "Tokens": st.column_config.NumberColumn(format="localized", width=80),
            "Took": st.column_config.TextColumn(width=80),
            "Fidelity": st.column_config.MultiselectColumn(
                options=list(FIDELITY_COLOR),
                color=list(FIDELITY_COLOR.values()),
                width=110,
                help="The lowest among the steps: exact, rendered or approximate token ids.",
            ),
        },
        key=f"traces-{len(starts)}-{status}",
    )
    selection = event.selection
    chosen = [*selection.rows, *(row for row, _ in selection.cells)]
    if chosen:
        st.switch_page(TRACE, query_params=query(traces[chosen[0]].id))

    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Click a row to open its trace.")
        st.space("stretch")
        if starts and st.button("Newer", icon=":material/chevron_left:"):
            starts.pop()
            st.rerun()
        if len(found) > PAGE_SIZE and st.button(
            "Older", icon=":material/chevron_right:", icon_position="right"
        ):
            starts.append(traces[-1].id)
            st.rerun()


main()
