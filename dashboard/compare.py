"""Two traces, or two prompt versions, side by side: which lines of the prompt weigh more in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.compare import Comparison, Row, compare
from flashtrace_agent.dashboard.data import open_store
from flashtrace_agent.dashboard.links import moved
from flashtrace_agent.dashboard.text import clip, moment, plain
from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import TraceSummary, sides

RECENT = 50


def _choose_traces() -> tuple[str, str] | None:
    traces = {trace.id: trace for trace in open_store().list_traces(limit=RECENT)}
    if (last := st.session_state.get("last_trace")) and "a" not in st.query_params:
        st.query_params["a"] = last
    for name in "ab":
        _find_asked(name, traces)
    if len(traces) < 2:
        st.info("There are no two traces to compare yet.", icon=":material/compare_arrows:")
        return None
    ids = list(traces)

    def label(trace_id: str) -> str:
        trace = traces[trace_id]
        return f"{moment(trace.started_at)} · {clip(trace.name, 60)} · {trace.id[:12]}"

    asked = st.query_params.get("a")
    first = asked if asked in traces else ids[1]
    other = next(each for each in ids if each != first)
    return _two(ids, label, first, other, "Trace")


def _find_asked(name: str, traces: dict[str, TraceSummary]) -> None:
    """Add the trace that the address names, perhaps in short, to those to choose from."""
    wanted = st.query_params.get(name, "")
    if wanted.isalnum() and wanted not in traces:
        for found in open_store().list_traces(limit=1, where=f"trace = '{wanted}'"):
            traces[found.id] = found
            st.query_params[name] = found.id


def _choose_versions() -> tuple[str, str] | None:
    versions = dict(open_store().prompt_versions())
    if len(versions) < 2:
        st.info(
            "There are no two prompt versions to compare yet: give runs a prompt version when they are "
            "recorded\\.",
            icon=":material/compare_arrows:",
        )
        return None
    names = list(versions)
    return _two(names, lambda name: f"{name} ({versions[name]:,} traces)", names[1], names[0], "Version")


def _two(options: Sequence[str], label: Any, a: str, b: str, noun: str) -> tuple[str, str]:
    """Let the reader choose two of the options; the address names them."""
    chosen = []
    for column, name, default in zip(st.columns(2), "ab", (a, b), strict=True):
        asked = st.query_params.get(name)
        if asked is not None and asked not in options:
            st.warning(f"There is no {noun.lower()} {plain(clip(asked))}\\.", icon=":material/link_off:")
        key = f"compare-{noun}-{name}"
        if moved(name) or st.session_state.get(key) not in options:
            st.session_state[key] = asked if asked in options else default
        picked = column.selectbox(f"{noun} {name.upper()}", options, format_func=label, key=key)
        st.query_params[name] = st.session_state[f"last_{name}"] = picked
        chosen.append(str(picked))
    return chosen[0], chosen[1]


def _gather(a: str, b: str, by_version: bool) -> list[list[Attribution]]:
    store = open_store()
    gather = sides.of_version if by_version else sides.of_trace
    with st.spinner("Reading the attributions …"):
        return [gather(store, side) for side in (a, b)]


def _show(one: Comparison, a: str, b: str) -> None:
    st.caption(
        plain(
            f"{one.a.attributions} and {one.b.attributions} attributions · fidelity {one.a.fidelity} and "
            f"{one.b.fidelity} · {', '.join({*one.a.models, *one.b.models})} · shares are means"
        )
    )
    for warning in one.warnings():
        st.warning(plain(warning), icon=":material/warning:")
    st.markdown("##### Segments")
    _table(one.segments, a, b, texts=False)
    st.markdown("##### Lines")
    _table(one.lines, a, b, texts=True)


def _table(rows: Iterable[Row], a: str, b: str, *, texts: bool) -> None:
    shown = list(rows)
    top = max((max(row.share_a, row.share_b) for row in shown), default=1.0) or 1.0
    columns: dict[str, list[Any]] = {"Segment": [row.segment for row in shown]}
    if texts:
        columns["Line in A"] = [row.text_a for row in shown]
        columns["Line in B"] = ["same" if row.change == "same" else row.text_b for row in shown]
    columns |= {
        "A": [row.share_a if row.change != "only b" else None for row in shown],
        "B": [row.share_b if row.change != "only a" else None for row in shown],
        "Difference": [row.difference * 100 for row in shown],
    }
    share = {"format": "percent", "min_value": 0.0, "max_value": top, "width": 130}
    st.dataframe(
        columns,
        hide_index=True,
        height="content" if len(shown) < 12 else 520,
        column_config={
            "Segment": st.column_config.TextColumn(width=170),
            "Line in A": st.column_config.TextColumn(width="large"),
            "Line in B": st.column_config.TextColumn(width="large"),
            "A": st.column_config.ProgressColumn(f"A {a[:12]}", **share),
            "B": st.column_config.ProgressColumn(f"B {b[:12]}", **share),
            "Difference": st.column_config.NumberColumn(
                "B − A", format="%+.1f", width=90, help="In percentage points."
            ),
        },
    )


def _forget_sides() -> None:
    """What the address names is of the other kind."""
    for name in "ab":
        st.query_params.pop(name, None)


def main() -> None:
    """Draw the page."""
    open_store()
    st.header("Compare", anchor=False)
    kinds = {"traces": "Two traces", "versions": "Two prompt versions"}
    kind = st.segmented_control(
        "Compare",
        list(kinds),
        default=st.query_params.get("by", "traces") if st.query_params.get("by") in kinds else "traces",
        required=True,
        format_func=kinds.__getitem__,
        label_visibility="collapsed",
        key="compare-kind",
        on_change=_forget_sides,
    )
    st.query_params["by"] = kind
    chosen = _choose_versions() if kind == "versions" else _choose_traces()
    if chosen is None:
        return
    try:
        found = compare(*_gather(*chosen, kind == "versions"))
    except StoreError as error:
        st.info(plain(str(error)), icon=":material/info:")
        return
    if not found:
        st.info("No target is attributed on both sides\\; attribute the same targets of both\\.")
        return
    by_target = {one.target: one for one in found}
    target = st.segmented_control(
        "What was caused",
        list(by_target),
        default=found[-1].target,
        required=True,
        format_func=plain,  # Markdown, which could load a picture
        key="compare-target",
    )
    _show(by_target[target] if target in by_target else found[-1], *chosen)


main()
