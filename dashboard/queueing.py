"""Have a target explained by a worker, and wait for it on the page.

A page cannot compute an attribution itself: the model may need a GPU, and stays loaded in the
worker. So the request is put into the store's queue, and the page asks every second what
became of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.store import JobState
from flashtrace_agent.store.job_requests import job_id
from flashtrace_agent.trace import Step

from .data import open_store, store_option
from .live import live
from .text import plain

PRIORITY = 10
"""Someone is waiting for it."""

_POLL_S = 1.0
_DECLINED = "declined_jobs"


def worker_command() -> str:
    """Return the shell command that starts a worker on this store, ready to paste."""
    return shlex.join(["flashtrace-agent", "worker", "--watch", *store_option()])


def show_request(step: Step, target: str | None, label: str, *, queue_now: bool) -> None:
    """Show what became of the request to explain `target`, and let the reader queue or cancel it.

    Args:
        step: a model step.
        target: a target's name or ``START:END``; None for everything the step wrote.
        label: what is to be explained, in words.
        queue_now: queue it without being asked, unless the reader took it back before.
    """
    if step.token_ids is None:
        st.info(ids_unknown(step), icon=":material/block:")
        return
    job = find_job(step, target)
    if job is None and queue_now and (step.id, target) not in _declined():
        request(step, target)
    _show_progress(step.id, target, label)


def ids_unknown(step: Step) -> str:
    """Return in Markdown why a step without token ids cannot be explained."""
    reason = plain(step.fidelity_reason or "only its text was recorded")
    return f"The token ids of this step are not known \\({reason}\\), so it cannot be explained\\."


def request(step: Step, target: str | None) -> None:
    """Put the request into the queue; again if it failed before, or its result was deleted."""
    queue = open_store().jobs
    job_id = queue.enqueue(step.id, None if target is None else [target], priority=PRIORITY)
    queue.retry(job_id)
    _declined().discard((step.id, target))


def request_check(step: Step, attribution: Attribution) -> None:
    """Have an attribution computed again by a worker, and checked."""
    queue = open_store().jobs
    job_id = queue.enqueue(
        step.id,
        [attribution.target_name],
        method=attribution.method,
        hops=attribution.asked_hops,
        priority=PRIORITY,
        check=True,
    )
    queue.retry(job_id)


def find_check(step: Step, attribution: Attribution) -> JobState | None:
    """Return the job that checks an attribution, or None."""
    wanted = job_id(
        step.id,
        [attribution.target_name],
        method=attribution.method,
        hops=attribution.asked_hops,
        check=True,
    )
    return next((job for job in open_store().jobs.of_step(step.id) if job.id == wanted), None)


def explaining_jobs(step_id: str) -> list[JobState]:
    """Return the jobs that explain something of a step."""
    return [job for job in open_store().jobs.of_step(step_id) if job.review is None]


def find_job(step: Step, target: str | None) -> JobState | None:
    """Return the job that explains a target of a step, the one for it alone first."""
    wanted = None if target is None else (target,)
    jobs = explaining_jobs(step.id)
    alone = [job for job in jobs if job.targets == wanted]
    covering = [job for job in jobs if job.targets is None and job.is_open]
    return next(iter(alone + covering), None)


def _draw_progress(step_id: str, target: str | None, label: str) -> None:
    """Say where the request stands; draws the whole page again once there is a result."""
    store = open_store()
    step = store.get_step(step_id)
    job = find_job(step, target)
    if job is not None and job.status == "done" and _is_explained(job, target):
        st.rerun(scope="app")
    is_open = job is not None and job.is_open
    key = "request-open" if is_open else "request"  # the style turns the first one's icon
    with st.container(border=True, key=key, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            _show_state(step, job, target, label)
        if job is not None and job.status == "queued":
            show_worker_hint()


_show_progress = live(_draw_progress, _POLL_S)


def _show_state(step: Step, job: JobState | None, target: str | None, label: str) -> None:
    if job is None or job.status == "done":
        st.markdown(f":material/radio_button_unchecked: {plain(label)} has not been explained yet\\.")
        if st.button("Explain it", type="primary", icon=":material/play_arrow:"):
            request(step, target)
            st.rerun(scope="app")
    elif job.status == "dead":
        st.markdown(f":material/error: :red[Could not explain {plain(label)}:] {plain(job.error or '')}")
        if st.button("Try again", icon=":material/refresh:"):
            request(step, target)
            st.rerun(scope="app")
    else:
        st.markdown(_open_text(job, label))
        if st.button("Cancel", icon=":material/close:"):
            open_store().jobs.cancel(job.id)
            _declined().add((step.id, target))
            st.rerun(scope="app")


def _is_explained(job: JobState, target: str | None) -> bool:
    found = open_store().attribution_summaries(job.trace_id).get(job.step_id, [])
    return any(target in (None, summary["target"]) for summary in found)


def _open_text(job: JobState, label: str) -> str:
    if job.status == "leased":
        return f":material/progress_activity: Explaining {plain(label)} …"
    if job.attempts:
        error = plain(job.error or "")
        return f":material/schedule: {plain(label)} failed and will be tried again: {error}"
    return f":material/hourglass_top: {plain(label)} waits in the queue …"


def show_worker_hint() -> None:
    """Say plainly when nobody is there to take a job, and how to start a worker."""
    if not open_store().workers.running():
        st.markdown(
            ":orange[:material/bolt: No worker is running\\.] Start one; it takes the job up at once:"
        )
        st.code(worker_command(), language="bash", wrap_lines=True)


def target_names(targets: Sequence[str] | None) -> str:
    """Return the targets of a job in words."""
    return "everything" if targets is None else ", ".join(targets)


def _declined() -> set[tuple[str, str | None]]:
    found: set[tuple[str, str | None]] = st.session_state.setdefault(_DECLINED, set())
    return found
