"""The queue of attributions: what waits, who works, what failed; and how the store is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from flashtrace_agent.count_of import count_of
from flashtrace_agent.dashboard.data import open_store
from flashtrace_agent.dashboard.links import REVIEW, WHY, query
from flashtrace_agent.dashboard.live import live
from flashtrace_agent.dashboard.queueing import show_worker_hint, target_names
from flashtrace_agent.dashboard.text import clip, moment, plain
from flashtrace_agent.store import JobState
from flashtrace_agent.trace import utc_now

SHOWN = 50
REFRESH_S = 2.0

_STATE = {
    "queued": ("queued", "gray", ":material/hourglass_top:"),
    "leased": ("running", "blue", ":material/bolt:"),
    "dead": ("failed", "red", ":material/error:"),
}

# A button's label, with its icon and what it does with a job's id.
Actions = Mapping[str, tuple[str, Callable[[str], object]]]


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


def _show_queue(count: int) -> None:
    st.subheader("Queue", anchor=False)
    if not count:
        st.caption("Nothing waits. The Why page puts what you choose there into the queue, as does:")
        st.code('flashtrace-agent worker --where "since 1d"', language="bash", wrap_lines=True)
        return
    queue = open_store().jobs
    _list(queue.open(SHOWN), count, {"Cancel": (":material/close:", queue.cancel)})


def _show_failures(count: int) -> None:
    queue = open_store().jobs
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Failures", anchor=False, width="content")
        if count:
            st.button("Try all again", icon=":material/refresh:", on_click=queue.retry)
    if not count:
        st.caption("No job has failed for good.")
        return
    actions: Actions = {
        "Try again": (":material/refresh:", queue.retry),
        "Dismiss": (":material/delete:", queue.cancel),
    }
    _list(queue.dead(SHOWN), count, actions)


def _list(jobs: Sequence[JobState], count: int, actions: Actions) -> None:
    """Show the first of `count` jobs, each with a button for every action."""
    for job in jobs:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"job-{job.id}"):
            word, color, icon = _STATE[job.status]
            st.badge(f"{word} {job.attempts} ×" if job.status == "dead" else word, color=color, icon=icon)
            _describe(job)
            for label, (sign, act) in actions.items():
                st.button(label, icon=sign, key=f"{label}-{job.id}", on_click=act, args=(job.id,))
        if job.status == "dead":
            st.caption(plain(clip(job.error or "", 400)))
    if count > len(jobs):
        st.caption(f"… and {count - len(jobs):,} more")


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
    counted = ("traces", "steps", "attributions", "messages")
    _numbers(
        {
            "Database": f"{facts['database']}, schema {facts['schema']}",
            "Size": f"{facts['bytes'] / 1e6:,.1f} MB",
        }
        | {name.capitalize(): f"{rows[name]:,}" for name in counted}
    )
    st.caption("`flashtrace-agent db check` verifies every hash, length and reference\\.")


def _numbers(values: Mapping[str, str]) -> None:
    with st.container(horizontal=True, gap="large"):
        for label, value in values.items():
            st.metric(label, value, width="content")


def _show_live() -> None:
    counts = open_store().jobs.counts()
    names = {"Queued": "queued", "Running": "leased", "Done": "done", "Failed": "dead"}
    _numbers({name: f"{counts[status]:,}" for name, status in names.items()})
    _show_workers()
    _show_queue(counts["queued"] + counts["leased"])
    _show_failures(counts["dead"])


def main() -> None:
    """Draw the page."""
    open_store()
    st.header("Jobs and health", anchor=False)
    live(_show_live, REFRESH_S)()
    if st.toggle("Count what the store holds", help="Reads every table; takes a while on a large store."):
        _show_store()


main()
