"""Have the model run without a review's idle lines: what it costs, a button that queues it, how far it is."""

from __future__ import annotations

import streamlit as st

from flashtrace_agent.review import Report
from flashtrace_agent.review.describe_dead_weight import cost_sentence
from flashtrace_agent.review.request import LineCheck
from flashtrace_agent.review.sampling import check_cost
from flashtrace_agent.store import JobState
from flashtrace_agent.store.job_requests import job_id

from .data import open_store
from .live import live
from .queueing import PRIORITY, show_worker_hint
from .text import plain

_POLL_S = 1.0


def show_line_check(report: Report, number: int, check: LineCheck, command: str) -> None:
    """Show where the check of a group's idle lines stands, or what it costs and a button that queues it.

    Args:
        report: the review, with what earlier checks showed.
        number: which group of it has lines that were not checked.
        check: the request.
        command: what does the same on the command line.
    """
    job = _job(check)
    if job is not None and job.is_open:
        _wait(report, number, check)
        return
    group = report.groups[number]
    with st.container(border=True, key=f"check-{number}", gap="small"):
        if job is not None and job.status == "dead":
            st.markdown(f":material/error: :red[The check failed:] {plain(job.error or '')}")
        with st.container(horizontal=True, vertical_alignment="center"):
            cost = check_cost(group.dead_weight, group.observations, check.sample)
            st.markdown(plain(cost_sentence(group, cost)), width="stretch")
            label = "Try again" if job is not None and job.status == "dead" else "Run the check"
            if st.button(label, key=f"run-check-{number}", type="primary", icon=":material/science:"):
                queue = open_store().jobs
                step_id = group.observations[-1].step.id
                queue.retry(queue.enqueue_review(step_id, check.to_dict(), priority=PRIORITY))
                st.rerun()
        st.caption("A worker runs it, or you do:")
        st.code(command, language="bash", wrap_lines=True)


def _job(check: LineCheck) -> JobState | None:
    return open_store().jobs.get(job_id("", review=check.to_dict()))


def _draw_progress(report: Report, number: int, check: LineCheck) -> None:
    """Say how far the check is; draws the whole page again once it has ended."""
    job = _job(check)
    if job is None or job.status in ("done", "dead"):
        st.rerun(scope="app")
        return
    dead = report.with_proofs(open_store(), check.sample).groups[number].dead_weight
    known = len(dead.candidates) - len(dead.unchecked)
    with st.container(border=True, key="request-open", gap="xsmall"):  # the style turns its icon
        with st.container(horizontal=True, vertical_alignment="center"):
            if job.status == "leased":
                st.markdown(
                    f":material/progress_activity: Running {plain(check.group.model)} without idle lines …"
                )
            else:
                st.markdown(":material/hourglass_top: The check waits in the queue …")
            count = len(dead.candidates)
            st.progress(known / max(count, 1), f"{known} of {count} lines", width=220)
            if st.button("Cancel", icon=":material/close:", key=f"cancel-check-{number}"):
                open_store().jobs.cancel(job.id)
                st.rerun(scope="app")
        if job.status == "queued":
            show_worker_hint()


_wait = live(_draw_progress, _POLL_S)
