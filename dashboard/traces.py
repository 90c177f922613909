"""The list of traces, newest first: filter them, watch them arrive, open one."""

from __future__ import annotations

from typing import Any

import streamlit as st

from flashtrace_agent.dashboard.data import open_store, opening_query
from flashtrace_agent.dashboard.links import TRACE, moved, settle
from flashtrace_agent.dashboard.live import live
from flashtrace_agent.dashboard.text import FIDELITY_COLOR, STATUS_COLOR, clip, duration, plain

PAGE_SIZE = 50

# What one often looks for, as filters. (A comment: Streamlit would show a string on the page.)
QUICK = {
    "errors": "status = error",
    "incomplete": "status = incomplete",
    "last day": "since 1d",
    "slow": "latency > 10s",
    "long": "tokens > 8000",
    "not exact": "not fidelity = exact",
}

LIVE_S = 3.0


def _filter() -> str | None:
    """Let the reader filter; return the whole filter, None for none."""
    if moved("where"):
        st.session_state["where"] = st.query_params["where"]
    elif "where" not in st.session_state:
        # The menu's links carry no query.
        st.session_state["where"] = st.session_state.get("last_where") or ""
    box, chips = st.columns([5, 4], vertical_alignment="bottom")
    written = box.text_input(
        "Filter",
        key="where",
        placeholder="tool = 'get_weather' and tokens > 4000 and since 7d",
        help="Fields: status, name, session, tag, tool, model, prompt_version, tokens, latency, fidelity, "
        "started, error, text, trace, step; `since 7d`; `segment tool_result share > 0.5 of target "
        "tool_call`. Join them with and, or, not and parentheses; `~` finds words in a text.",
        icon=":material/filter_alt:",
    )
    settle(where=written or None)
    quick = chips.pills(
        "Quick filters",
        list(QUICK),
        selection_mode="multi",
        key="quick",
        label_visibility="collapsed",
        wrap=True,
    )
    parts = [QUICK[name] for name in quick] + ([f"({written})" if quick else written] if written else [])
    return " and ".join(parts) or None


def _table(traces: list[Any], scores: dict[str, float]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "Time": [trace.started_at for trace in traces],
        "Name": [clip(trace.name, 200) or trace.id for trace in traces],
        "Status": [[trace.status] for trace in traces],
        "Steps": [trace.steps for trace in traces],
        "Tools": [trace.tools for trace in traces],
        "Tokens": [trace.tokens for trace in traces],
        "Took": [duration(trace.started_at, trace.ended_at) for trace in traces],
        "Score": [scores.get(trace.id) for trace in traces],
        "Fidelity": [[trace.fidelity] if trace.fidelity else [] for trace in traces],
        "Session": [trace.session or "" for trace in traces],
        "Tags": [trace.tags for trace in traces],
    }
    seldom = ("Score", "Session", "Tags")  # their room is worth more than their emptiness
    empty = {name for name in seldom if all(value in (None, "", []) for value in columns[name])}
    return {name: values for name, values in columns.items() if name not in empty}


_TIME = st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss", width=160)
_STATUS = st.column_config.MultiselectColumn(
    options=list(STATUS_COLOR), color=list(STATUS_COLOR.values()), width=100
)
_NAME = st.column_config.ButtonColumn(width=300, alignment="left", type="tertiary", key="row_button")
COLUMNS = {
    "Time": _TIME,
    "Name": _NAME,
    "Status": _STATUS,
    "Steps": st.column_config.NumberColumn(width=70),
    "Tools": st.column_config.ListColumn(width=160),
    "Tokens": st.column_config.NumberColumn(format="localized", width=80),
    "Took": st.column_config.TextColumn(width=80),
    "Score": st.column_config.NumberColumn(width=70, help="The latest that somebody gave the trace."),
    "Fidelity": st.column_config.MultiselectColumn(
        options=list(FIDELITY_COLOR),
        color=list(FIDELITY_COLOR.values()),
        width=100,
        help="The lowest among the steps: exact, rendered or approximate token ids.",
    ),
}


def _choose(columns: dict[str, list[Any]], config: dict[str, Any], ids: list[str], key: str) -> str | None:
    """Show a table; return the id of the row whose name was clicked, or that was ticked.

    A click into any other cell is no choice: to Streamlit, so is each cell that the keyboard comes by.
    Each choice is one table's last: a browser that comes back before the page has changed still has the
    tick, and would send it again with whatever is clicked next.
    """
    choices = st.session_state.setdefault("choices", 0)
    seen = st.session_state.get("rows_seen", [])  # what was clicked in; rows may have come since
    st.session_state["rows_seen"] = ids
    event = st.dataframe(
        columns,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height="content" if len(ids) < 15 else 570,
        column_config=config,
        key=f"{key}-{choices}",
    )
    click = st.session_state.get("row_button")
    chosen = [*event.selection.rows, *([click.row] if click else [])]
    if not chosen or chosen[0] >= len(seen):
        return None
    st.session_state["choices"] = choices + 1
    return str(seen[chosen[0]])


def _show(where: str | None, by_session: bool) -> None:
    if by_session:
        _show_sessions(where)
    else:
        _show_traces(where)


def _show_traces(where: str | None) -> None:
    store = open_store()
    starts: list[str] = st.session_state["page_starts"]
    found = store.list_traces(limit=PAGE_SIZE + 1, before=starts[-1] if starts else None, where=where)
    traces = found[:PAGE_SIZE]
    if not traces and not starts:
        _empty(where)
        return
    ids = [trace.id for trace in traces]
    chosen = _choose(_table(traces, store.scores(ids)), COLUMNS, ids, f"traces-{len(starts)}-{where}")
    if chosen is not None:
        st.switch_page(TRACE, query_params=opening_query(chosen))
    _show_pager("open its trace", ids[-1] if len(found) > PAGE_SIZE else None)


def _show_sessions(where: str | None) -> None:
    starts: list[str] = st.session_state["page_starts"]
    sessions, after = open_store().list_sessions(
        limit=PAGE_SIZE, before=starts[-1] if starts else None, where=where
    )
    if not sessions and not starts:
        st.info("No trace that is shown here belongs to a session.", icon=":material/forum:")
        return
    names = [one.session for one in sessions]
    columns: dict[str, list[Any]] = {
        "Session": names,
        "Traces": [one.traces for one in sessions],
        "Time": [one.latest_at for one in sessions],
        "Latest trace": [one.latest_name for one in sessions],
        "Status": [[one.latest_status] for one in sessions],
    }
    count = st.column_config.NumberColumn(width=80)
    config = {"Session": _NAME, "Time": _TIME, "Status": _STATUS, "Traces": count}
    chosen = _choose(columns, config, names, f"sessions-{len(starts)}-{where}")
    if chosen is not None:
        st.session_state["open_session"] = chosen
        st.rerun(scope="app")
    _show_pager("see the session's traces", after)


def _show_pager(why: str, after: str | None) -> None:
    """Say why to choose a row, and show how to go on.

    Keyset paging: a page starts below the id that ended the one before it.
    """
    starts: list[str] = st.session_state["page_starts"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Click a name, or tick its row (Shift and space), to {why}.")
        st.space("stretch")
        if starts and st.button("Newer", icon=":material/chevron_left:"):
            starts.pop()
            st.rerun(scope="app")
        if after and st.button("Older", icon=":material/chevron_right:", icon_position="right"):
            starts.append(after)
            st.rerun(scope="app")


def _empty(where: str | None) -> None:
    if where is not None:
        st.info(f"No trace agrees with {plain(clip(where, 200))}\\.", icon=":material/filter_alt:")
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
    open_store()  # before anything is drawn: a store that cannot be opened is all there is to say
    opened = st.session_state.pop("open_session", None)
    if opened is not None:
        quoted = opened.replace("'", "''")
        st.session_state["where"] = f"session = '{quoted}'"
        st.session_state["sessions"] = False
    head, controls = st.columns([3, 4], vertical_alignment="center")
    head.header("Traces", anchor=False)
    with controls.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        by_session = st.toggle("By session", key="sessions", help="One row per session.")
        watch = st.toggle("Live", key="live", help="Look for new traces every few seconds.")
        st.button("Refresh", icon=":material/refresh:")
    where = _filter()
    if st.session_state.get("listed") != (where, by_session):
        st.session_state["listed"] = (where, by_session)
        st.session_state["page_starts"] = []
    # A reader on a later page is reading: new traces would not change it.
    watching = watch and not st.session_state["page_starts"]
    live(_show, LIVE_S if watching else None)(where, by_session)


main()
