"""The head of a page: what a trace and a step are, in badges."""

from __future__ import annotations

import streamlit as st

from flashtrace_agent.html import FIDELITY_HELP
from flashtrace_agent.trace import Step, Trace

from .text import FIDELITY_COLOR, STATUS_COLOR, STATUS_ICON, badge_label, clip, duration, moment, plain


def show_trace_header(trace: Trace) -> None:
    """Show a trace's name, state, time and, where it failed, the error."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(plain(clip(trace.name, 160) or trace.id), anchor=False, width="content")
        show_status(trace.status)
        for tag in trace.tags:
            st.badge(badge_label(tag), color="gray", icon=":material/sell:")
    parts = [moment(trace.started_at), duration(trace.started_at, trace.ended_at), f"trace {trace.id}"]
    if trace.session:
        parts.append(f"session {clip(trace.session)}")
    if trace.prompt_version:
        parts.append(f"prompt version {clip(trace.prompt_version)}")
    st.caption(" · ".join(plain(part) for part in parts if part))
    if trace.error:
        st.error(plain(trace.error), icon=":material/error:")


def show_step_facts(step: Step) -> None:
    """Show a step's state, model, tokens, time and fidelity."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        show_status(step.status)
        if step.kind == "model":
            show_fidelity(step)
            if step.model:
                st.badge(badge_label(step.model), color="gray", icon=":material/memory:", help="Model")
            counts = _token_counts(step)
            if counts:
                st.badge(plain(counts), color="gray", icon=":material/token:", help="Prompt and completion")
        took = duration(step.started_at, step.ended_at)
        if took:
            st.badge(plain(took), color="gray", icon=":material/timer:", help="Time the step took")
        if step.finish_reason:
            st.badge(badge_label(step.finish_reason), color="gray", help="Why the model stopped")


def show_status(status: str) -> None:
    """Show ``ok``, ``error`` or ``incomplete`` in words, colour and shape."""
    st.badge(status, color=STATUS_COLOR[status], icon=STATUS_ICON[status])


def show_fidelity(step: Step) -> None:
    """Show how well the token ids of a model step are known, and why."""
    if step.fidelity is None:
        st.badge("token ids unknown", color="gray", icon=":material/help:")
        return
    reason = f" {step.fidelity_reason}" if step.fidelity_reason else ""
    st.badge(
        f"fidelity {step.fidelity.value}",
        color=FIDELITY_COLOR[step.fidelity.value],
        icon=":material/verified:" if step.fidelity == "exact" else ":material/rule:",
        help=plain(FIDELITY_HELP[step.fidelity.value] + reason),
    )


def _token_counts(step: Step) -> str:
    prompt = step.usage.get("prompt_tokens", len(step.prompt_ids or []))
    completion = step.usage.get("completion_tokens", len(step.completion_ids or []))
    return f"{prompt:,} + {completion:,} tokens" if prompt or completion else ""
