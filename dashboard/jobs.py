"""The queue of attributions: what waits, who works, what failed; and how the store is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from flashtrace_agent.dashboard.data import open_store
from flashtrace_agent.dashboard.links import REVIEW, WHY, query
from flashtrace_agent.dashboard.live import live
from flashtrace_agent.dashboard.queueing import show_worker_hint, target_names
from flashtrace_agent.dashboard.text import clip, count_of, moment, plain
from flashtrace_agent.store import JobState
from flashtrace_agent.trace import utc_now

SHOWN = 50
REFRESH_S = 2.0

_STATE = {"queued": ("gray", ":material/hourglass_top:"), "leased": ("blue", ":material/bolt:")}


def _show_workers() -> None:
    st.subheader("Workers", anchor=False)
    workers = open_store().workers.running()
    if not workers:
        show_worker_hint()
        return
    now = utc_now()
    for worker in workers:
        silent = max((now - worker.seen_at).total_seconds(), 0)
        st.markdown(
            f":green[:material/check_circle:] **{plain(worker.name)}** since "
            f"{plain(moment(worker.started_at))}, seen {silent:.0f} s ago"
        )


def _show_queue(counts: dict[str, int]) -> None:
    st.subheader("Queue", anchor=False)
    queue = open_store().jobs
    jobs = queue.open(SHOWN)
    if not jobs:
        st.caption("Nothing waits. The Why page puts what you choose there into the queue, as does:")
        st.code('flashtrace-agent worker --where "since 1d"', language="bash")
        return
    for job in jobs:
        with _row(job):
            color, icon = _STATE[job.status]
            st.badge("running" if job.status == "leased" else "queued", color=color, icon=icon)
            _describe(job)
            st.button(
                "Cancel",
                icon=":material/close:",
                key=f"cancel-{job.id}",
                on_click=queue.cancel,
                args=(job.id,),
            )
    rest = counts["queued"] + counts["leased"] - len(jobs)
    if rest > 0:
        st.caption(f"… and {rest:,} more")


def _show_failures(dead: int) -> None:
    queue = open_store().jobs
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Failures", anchor=False, width="content")
        if dead:
            st.button("Try all again", icon=":material/refresh:", on_click=queue.retry)
    if not dead:
        st.caption("No job has failed for good.")
        return
    jobs = queue.dead(SHOWN)
    for job in jobs:
        with _row(job):
            st.badge(f"failed {job.attempts} ×", color="red", icon=":material/error:")
            _describe(job)
            st.button(
                "Try again",
                icon=":material/refresh:",
                key=f"retry-{job.id}",
                on_click=queue.retry,
                args=(job.id,),
            )
            st.button(
                "Dismiss",
                icon=":material/delete:",
                key=f"dismiss-{job.id}",
                on_click=queue.cancel,
                args=(job.id,),
            )
        st.caption(plain(clip(job.error or "", 400)))
    if dead > len(jobs):
        st.caption(f"… and {dead - len(jobs):,} more")


def _row(job: JobState) -> Any:
    return st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"job-{job.id}")


def _describe(job: JobState) -> None:
    if job.review is not None:
        st.page_link(REVIEW, label="check of idle lines", icon=":material/rate_review:")
        parts = ["review", f"asked {moment(job.created_at)}"]
    else:
        target = job.targets[0] if job.targets else None
        st.page_link(
            WHY,
            label=plain(clip(target_names(job.targets), 60)),
            icon=":material/local_fire_department:",
            query_params=query(job.trace_id, job.step_id, target),
        )
        parts = [job.method, count_of(job.hops, "hop"), f"asked {moment(job.created_at)}"]
    if job.status == "leased" and job.worker:
        parts.append(f"by {job.worker}")
    if job.status == "queued" and job.due_at > utc_now():
        parts.append(f"again after {moment(job.due_at)}: {clip(job.error or '', 80)}")
    st.caption(" · ".join(plain(part) for part in parts), width="content")


def _show_store() -> None:
    facts = open_store().describe()
    st.subheader("Store", anchor=False)
    rows: dict[str, int] = facts["rows"]
    cells: Sequence[tuple[str, str]] = [
        ("Database", f"{facts['database']}, schema {facts['schema']}"),
        ("Size", f"{facts['bytes'] / 1e6:,.1f} MB"),
        ("Traces", f"{rows['traces']:,}"),
        ("Steps", f"{rows['steps']:,}"),
        ("Attributions", f"{rows['attributions']:,}"),
        ("Messages", f"{rows['messages']:,}"),
    ]
    with st.container(horizontal=True, gap="large"):
        for label, value in cells:
            st.metric(label, value, width="content")
    st.caption("`flashtrace-agent db check` verifies every hash, length and reference\\.")


def _show_live() -> None:
    counts = open_store().jobs.counts()
    with st.container(horizontal=True, gap="large"):
        for label, status in (
            ("Queued", "queued"),
            ("Running", "leased"),
            ("Done", "done"),
            ("Failed", "dead"),
        ):
            st.metric(label, f"{counts[status]:,}", width="content")
    _show_workers()
    _show_queue(counts)
    _show_failures(counts["dead"])


def main() -> None:
    """Draw the page."""
    open_store()
    st.header("Jobs and health", anchor=False)
    live(_show_live, REFRESH_S)()
    if st.toggle("Count what the store holds", help="Reads every table; takes a while on a large store."):
        _show_store()


main()
