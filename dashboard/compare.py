"""Two traces, or two prompt versions, side by side: which lines of the prompt weigh more in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.compare import Comparison, Row, compare
from flashtrace_agent.count_of import count_of
from flashtrace_agent.dashboard.data import open_store
from flashtrace_agent.dashboard.links import moved, settle
from flashtrace_agent.dashboard.text import clip, moment, plain
from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import TraceSummary, sides

RECENT = 50


def _choose_traces(asked: Mapping[str, str]) -> tuple[str, str] | None:
    traces = {trace.id: trace for trace in open_store().list_traces(limit=RECENT)}
    if (last := st.session_state.get("last_trace")) and "a" not in asked:
        asked = {**asked, "a": last}
    asked = {name: _find(wanted, traces) for name, wanted in asked.items()}
    if len(traces) < 2:
        st.info("There are no two traces to compare yet.", icon=":material/compare_arrows:")
        return None
    ids = list(traces)

    def label(trace_id: str) -> str:
        trace = traces[trace_id]
        return f"{moment(trace.started_at)} · {clip(trace.name, 60) or 'no name'} · {trace.id[:12]}"

    first = asked["a"] if asked.get("a") in traces else ids[1]
    other = next(each for each in ids if each != first)
    return _two(ids, label, asked, (first, other), "Trace")


def _find(wanted: str, traces: dict[str, TraceSummary]) -> str:
    """Add the trace that an id, perhaps a short one, means to those to choose from; return its id."""
    if wanted.isalnum() and wanted not in traces:
        for found in open_store().list_traces(limit=1, where=f"trace = '{wanted}'"):
            traces[found.id] = found
            return found.id
    return wanted


def _choose_versions(asked: Mapping[str, str]) -> tuple[str, str] | None:
    versions = dict(open_store().prompt_versions())
    if len(versions) < 2:
        st.info(
            "There are no two prompt versions to compare yet: give runs a prompt version when they are "
            "recorded\\.",
            icon=":material/compare_arrows:",
        )
        return None
    names = list(versions)

    def label(name: str) -> str:
        return f"{name} ({count_of(versions[name], 'trace')})"

    return _two(names, label, asked, (names[1], names[0]), "Version")


def _two(
    options: Sequence[str],
    label: Callable[[str], str],
    asked: Mapping[str, str],
    defaults: tuple[str, str],
    noun: str,
) -> tuple[str, str]:
    """Let the reader choose two of the options, beginning with those asked for."""
    chosen = []
    for column, name, default in zip(st.columns(2), "ab", defaults, strict=True):
        wanted = asked.get(name)
        if wanted is not None and wanted not in options:
            st.warning(f"There is no {noun.lower()} {plain(clip(wanted))}\\.", icon=":material/link_off:")
        key = f"compare-{noun}-{name}"
        if moved(name) or st.session_state.get(key) not in options:
            st.session_state[key] = wanted if wanted in options else default
        chosen.append(str(column.selectbox(f"{noun} {name.upper()}", options, format_func=label, key=key)))
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
    st.subheader("Segments", anchor=False)
    _table(one.segments, a, b, texts=False)
    st.subheader("Lines", anchor=False)
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


def main() -> None:
    """Draw the page."""
    open_store()
    st.header("Compare", anchor=False)
    kinds = {"traces": "Two traces", "versions": "Two prompt versions"}
    by = st.query_params.get("by", "traces")
    if moved("by") or "compare-kind" not in st.session_state:
        st.session_state["compare-kind"] = by if by in kinds else "traces"
    kind = st.segmented_control(
        "Compare",
        list(kinds),
        required=True,
        format_func=kinds.__getitem__,
        label_visibility="collapsed",
        key="compare-kind",
    )
    # Where the reader has just chosen the other kind, what the address names is of this one.
    asked = {name: st.query_params[name] for name in "ab" if name in st.query_params and by == kind}
    chosen = _choose_versions(asked) if kind == "versions" else _choose_traces(asked)
    a, b = chosen or (None, None)
    settle(by=kind, a=a, b=b)
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
