"""Which lines of a prompt earn their place: the report of `flashtrace-agent review`, to be looked into."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import streamlit as st

from flashtrace_agent.dashboard.data import open_store, store_option
from flashtrace_agent.dashboard.kept import kept
from flashtrace_agent.dashboard.line_check import show_line_check
from flashtrace_agent.dashboard.links import WHY, query
from flashtrace_agent.dashboard.text import clip, plain
from flashtrace_agent.percent import percent
from flashtrace_agent.review import Report, build_report, compare_versions
from flashtrace_agent.review.describe import describe
from flashtrace_agent.review.document import Document, Section, Share, Stack, Table, Words, cell_text
from flashtrace_agent.review.ledger import instruction_lines
from flashtrace_agent.review.passages import line_uses
from flashtrace_agent.review.render_html import COLOURS, render_html
from flashtrace_agent.review.report import report_selection
from flashtrace_agent.review.request import LineCheck
from flashtrace_agent.review.sampling import SAMPLE
from flashtrace_agent.review.selection import select
from flashtrace_agent.store import Store

_CACHED_SECONDS = 300
_SHOWN_USES = 10
_STEPS = 500
_ICONS = {
    "good": ":material/check_circle:",
    "bad": ":material/error:",
    "dim": ":material/info:",
    "plain": ":material/info:",
}


@dataclass(frozen=True)
class _Asked:
    """What the reader wants reviewed; hashable, because reports are cached by it."""

    where: str | None
    last: int
    approximate: bool
    before: str | None
    after: str | None


def _ask(store: Store) -> _Asked:
    versions = [name for name, _ in store.prompt_versions()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        where = st.text_input(
            "Filter", key="review-where", placeholder="tag = prod and since 7d", help="As in `list --where`."
        )
        after = st.selectbox(
            "Prompt version", versions, index=None, placeholder="all", key="review-after", width=160
        )
        before = st.selectbox(
            "Compared with",
            [name for name in versions if name != after],
            index=None,
            placeholder="none",
            key="review-before",
            width=160,
            disabled=after is None,
            help="An earlier prompt version\\; choose the prompt version first.",
        )
        last = st.number_input("Newest steps", 1, 5000, _STEPS, key="review-last", width=140)
        approximate = st.toggle(
            "Approximate too", key="review-approximate", help="Count steps with approximate token ids."
        )
        if st.button("Refresh", icon=":material/refresh:"):
            _review.clear()
    return _Asked((where or "").strip() or None, int(last), approximate, before if after else None, after)


@kept(show_spinner="Reading attributions …", ttl=_CACHED_SECONDS, max_entries=4)
def _review(url: str, asked: _Asked, _store: Store) -> Report:
    """Return the report; `url` names the store in the cache's key."""
    steps = _store.attributed_steps(where=asked.where, prompt_version=asked.after, last=asked.last)
    if asked.before is None or asked.after is None:
        return build_report(steps, include_approximate=asked.approximate)
    chosen = select(steps, include_approximate=asked.approximate)
    earlier = select(
        _store.attributed_steps(where=asked.where, prompt_version=asked.before, last=asked.last),
        include_approximate=asked.approximate,
    )
    scores = _store.scores(earlier.trace_ids() + chosen.trace_ids())
    comparison = compare_versions((asked.before, asked.after), earlier, chosen, scores)
    return report_selection(chosen, comparison=comparison)


def _command(asked: _Asked) -> str:
    words = ["flashtrace-agent", "review", "--yes"]
    if asked.where:
        words += ["--where", asked.where]
    if asked.before and asked.after:
        words += ["--compare", asked.before, asked.after]
    elif asked.after:
        words += ["--prompt-version", asked.after]
    if asked.last != _STEPS:
        words += ["--last", str(asked.last)]
    if asked.approximate:
        words.append("--approximate")
    return shlex.join(words + store_option())


def _empty(report: Report) -> None:
    with st.container(border=True, width=820):
        if not report.steps:
            st.subheader("No model step matches", anchor=False)
            st.write("Change the filter, or run the demo:")
            st.code("flashtrace-agent demo", language="bash")
            return
        st.subheader("Nothing here can be reviewed yet", anchor=False)
        for reason, count in report.left_out.items():
            st.write(f"{count} steps: {plain(reason)}")
        st.write("Compute attributions, then refresh:")
        st.code("flashtrace-agent worker --all", language="bash")


def _findings(document: Document) -> None:
    facts = (f"{name}: {value}" for name, value in document.facts)
    st.caption("  \n".join(plain(fact) for fact in facts))
    with st.container(border=True, gap="small"):
        for finding in document.findings:
            st.markdown(f"{_ICONS[finding.tone]} {plain(finding.text)}")


def _section(section: Section, key: str, report: Report, group: int) -> None:
    for number, block in enumerate(section.blocks):
        if isinstance(block, Table):
            _table(block, f"{key}-{number}", section.title, report, group)
        elif isinstance(block, Stack):
            _stack(block)
        else:
            st.caption(plain(block.text if isinstance(block, Words) else block))


def _columns(table: Table) -> tuple[dict[str, list[object]], dict[str, object]]:
    """Return a table's cells by column, and how Streamlit is to show them."""
    columns: dict[str, list[object]] = {}
    config: dict[str, object] = {}
    for index, label in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        if cells and all(isinstance(cell, Share | None) for cell in cells):
            columns[label] = [cell.value if isinstance(cell, Share) else None for cell in cells]
            highest = max((cell.value for cell in cells if isinstance(cell, Share)), default=1.0)
            config[label] = st.column_config.ProgressColumn(
                format="percent", min_value=0.0, max_value=max(highest, 0.01)
            )
        elif all(isinstance(cell, int | float | None) for cell in cells):
            columns[label] = list(cells)
            config[label] = st.column_config.NumberColumn(format="%.0f")
        else:
            columns[label] = [cell_text(cell) for cell in cells]
        if index == table.wide:
            config[label] = st.column_config.TextColumn(width="large")
    return columns, config


def _table(table: Table, key: str, title: str, report: Report, group: int) -> None:
    columns, config = _columns(table)
    is_ledger = title.endswith("Ledger: lines")
    if not is_ledger and not table.links:
        st.dataframe(columns, hide_index=True, column_config=config)
        return
    event = st.dataframe(
        columns,
        hide_index=True,
        column_config=config,
        on_select="rerun",
        selection_mode="single-row",
        key=key,
        height="content" if len(table.rows) < 15 else 560,
    )
    chosen = event.selection.rows
    if not chosen:
        purpose = "where it mattered most" if is_ledger else "why"
        st.caption(f"Tick a row \\(Shift and space\\) to see {purpose}\\.")
    elif is_ledger:
        _uses(report, group, chosen[0])
    else:
        st.switch_page(WHY, query_params=query(*table.links[chosen[0]]))


def _uses(report: Report, group: int, row: int) -> None:
    """Show the targets a line mattered to most, each with a way to the Why page."""
    line = list(instruction_lines(report.groups[group].ledger))[row].line
    uses = line_uses(report.groups[group].observations, line, _SHOWN_USES)
    st.subheader(f"Where “{plain(clip(line.text or line.part, 70))}” mattered most", anchor=False)
    for use in uses:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(min(use.share, 1.0), text=percent(use.share, 1), width=160)
            st.page_link(
                WHY,
                label=f"{plain(use.target)} **{plain(clip(use.text, 50))}** in {plain(clip(use.trace, 50))}",
                query_params=query(use.trace_id, use.step_id, use.target),
            )


def _stack(stack: Stack) -> None:
    segments = list(dict.fromkeys(part for _, parts in stack.bars for part, _ in parts))
    columns: dict[str, list[object]] = {"choice": [name for name, _ in stack.bars]}
    for segment in segments:
        columns[segment] = [dict(parts).get(segment, 0.0) for _, parts in stack.bars]
    if segments:
        colours = [COLOURS[number % len(COLOURS)] for number in range(len(segments))]
        st.bar_chart(
            columns, x="choice", y=segments, y_label="share", color=colours, horizontal=True, height=220
        )


def main() -> None:
    """Draw the page."""
    store = open_store()
    head, controls = st.columns([3, 1], vertical_alignment="center")
    head.header("Review", anchor=False)
    asked = _ask(store)
    report = _review(store.url, asked, store)
    if not report.groups:
        _empty(report)
        return
    report = report.with_proofs(store, SAMPLE)
    document = describe(report, "run the check below")
    with controls.container(horizontal=True, horizontal_alignment="right"):
        st.download_button(
            "Save as a page",
            render_html(describe(report)).encode("utf-8", "replace"),
            "review.html",
            "text/html",
            icon=":material/download:",
            on_click="ignore",
        )
    _findings(document)
    for number, group in enumerate(report.groups):
        if not group.dead_weight.is_checked:
            check = LineCheck(asked.where, asked.after, asked.last, asked.approximate, SAMPLE, group.key)
            show_line_check(report, number, check, _command(asked))
    tabs = st.tabs([plain(section.title) for section in document.sections])
    for number, (tab, section) in enumerate(zip(tabs, document.sections, strict=True)):
        with tab:
            _section(section, f"review-{number}", report, section.group)


main()
