"""Whether what the Why page shows holds: the finding of a check, or a button that asks for one."""

from __future__ import annotations

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.trace import Step

from .data import open_store
from .live import live
from .queueing import find_check, request_check, show_worker_hint
from .text import plain

_COLOURS = {"strong": "green", "weak": "orange", "none": "red"}
_POLL_S = 1.0
_HELP = "Removes the top tokens, then as many random ones, and compares what each costs the target."


def show_check(step: Step, attribution: Attribution) -> None:
    """Show what the check of an attribution found, where it stands, or offer it."""
    if attribution.checked is not None:
        found = attribution.checked
        word, _, rest = found.sentence().partition(": ")
        st.markdown(f":{_COLOURS[found.verdict]}-badge[check: {word}] {plain(rest)}", help=_HELP)
        return
    job = find_check(step, attribution)
    if job is not None and job.is_open:
        _wait(step.id, job.id)
        return
    if job is not None and job.status == "dead":
        st.markdown(f":material/error: :red[The check failed:] {plain(job.error or '')}")
    if step.token_ids is not None and st.button("Check", icon=":material/science:", help=_HELP):
        request_check(step, attribution)
        st.rerun()


def _draw_wait(step_id: str, job_id: str) -> None:
    """Say that a check is under way; draws the whole page again once it has ended."""
    job = next((one for one in open_store().jobs.of_step(step_id) if one.id == job_id), None)
    if job is None or job.status in ("done", "dead"):
        st.rerun(scope="app")
    st.markdown(":material/hourglass_top: Checking …")
    show_worker_hint()


_wait = live(_draw_wait, _POLL_S)
