"""Why the model wrote what it wrote: choose a target of a step, see the prompt light up."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.dashboard.checking import show_check
from flashtrace_agent.dashboard.data import attribute_command, open_store, open_trace, position_of
from flashtrace_agent.dashboard.heatmap import heatmap
from flashtrace_agent.dashboard.links import TRACE, asked, moved, query, settle_trace
from flashtrace_agent.dashboard.queueing import (
    explaining_jobs,
    find_job,
    ids_unknown,
    request,
    show_request,
    show_worker_hint,
)
from flashtrace_agent.dashboard.targets import (
    Choice,
    choices,
    influence,
    name_of,
    named_parts,
    parse_span,
)
from flashtrace_agent.dashboard.text import call_text, clip, plain
from flashtrace_agent.dashboard.token_texts import blank
from flashtrace_agent.html import render_html
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step, Trace


def _choose_step(trace: Trace, models: Sequence[Step]) -> Step:
    by_id = {step.id: step for step in models}
    key = f"why-step-{trace.id}"
    wanted = asked("step")
    step = next((one for one in models if wanted and one.id.startswith(wanted)), None)
    if wanted and step is None:
        st.warning(f"No model step {plain(clip(wanted))} in this trace\\.", icon=":material/link_off:")
    if moved("step") or st.session_state.get(key) not in by_id:
        st.session_state[key] = (step or models[0]).id
    chosen = st.selectbox(
        "Step",
        list(by_id),
        format_func=lambda step_id: _step_label(trace, by_id[step_id]),
        label_visibility="collapsed",
        key=key,
    )
    return by_id[chosen]


def _step_label(trace: Trace, step: Step) -> str:
    number = position_of(trace, step) + 1
    if step.output is None:
        return f"{number} · no output"
    said = [call_text(call) for call in step.output.tool_calls] or [step.output.content or "empty message"]
    return f"{number} · {clip(', '.join(said), 60)}"


def _target_key(step_id: str) -> str:
    return f"target-{step_id}"


def _note_wish(step_id: str) -> None:
    """Note that the reader chose a target, so that it is queued without a further question."""
    _wishes().add(step_id)


def _wishes() -> set[str]:
    found: set[str] = st.session_state.setdefault("wishes", set())
    return found


def _choose_target(step: Step, attributions: Sequence[Attribution], tokens: Sequence[str]) -> Choice | None:
    """Let the reader choose among the targets; those not computed yet are marked with a ring."""
    key = _target_key(step.id)
    linked = step.id.startswith(asked("step") or "")  # else the address is still that of the step before
    wanted = asked("target") if linked else None
    chosen_before = None if linked and moved("target") else st.session_state.get(key)
    found = choices(step, attributions, tokens, chosen_before or wanted)
    by_id = {choice.id: choice for choice in found}
    if not by_id:
        return None
    if wanted and chosen_before is None and wanted not in (choice.name for choice in found):
        st.info(f"This step has no target {plain(clip(wanted))}\\.", icon=":material/info:")
    if chosen_before not in by_id:
        st.session_state[key] = next(
            (choice.id for choice in found if choice.name == wanted), next(iter(by_id))
        )

    def label(choice_id: str) -> str:
        choice = by_id[choice_id]
        mark = "" if choice.attribution else ":material/radio_button_unchecked: "
        return f"{mark}{plain(clip(choice.id, 60))} **{plain(clip(choice.text, 32))}**"

    chosen = st.segmented_control(
        "Explain this part of what the model wrote, or click or drag over its tokens below",
        list(by_id),
        required=True,
        format_func=label,
        key=key,
        wrap=True,
        on_change=_note_wish,
        args=(step.id,),
    )
    return by_id[chosen] if chosen is not None else found[0]


def _show_picture(trace: Trace, step: Step, pictures: Sequence[Attribution], choice: Choice) -> Attribution:
    """Show the heat map of what was chosen; while that is being computed, of what was seen before.

    Returns what it shows.

    Args:
        trace: the step's trace.
        step: a model step.
        pictures: its attributions; where there is none, one of nothing.
        choice: what the reader chose.
    """
    seen = f"seen-{step.id}"
    shown = choice.attribution
    pending: list[Span] = []
    tokens = pictures[0].tokens
    parts = named_parts(step, tokens)
    if shown is None:
        shown = next((one for one in pictures if one.target_name == st.session_state.get(seen)), pictures[0])
        span = parse_span(choice.name, tokens)
        asked_for = find_job(step, choice.name)
        if asked_for is not None and asked_for.is_open:
            pending = list(parts.get(choice.name, () if span is None else (span,)))
    st.session_state[seen] = shown.target_name
    names = {one.target_name: one.target for one in pictures if one.target}

    def pick(start: int, end: int) -> None:
        st.session_state[_target_key(step.id)] = name_of(Span(start, end), parts | names)
        _note_wish(step.id)

    def go(step_id: str, target: str) -> None:
        st.session_state[f"why-step-{trace.id}"] = step_id
        st.session_state[_target_key(step_id)] = target

    heatmap(
        shown,
        key=f"heatmap-{step.id}",
        parts=parts,
        influence=influence(trace, step, shown.target_name, open_store().attribution_summaries(trace.id)),
        pending=pending,
        on_pick=pick,
        on_go=go,
    )
    return shown


def _empty(trace: Trace, step: Step) -> None:
    """Offer to explain a step nothing is known about yet, and whose tokens are no more than numbers here."""
    with st.container(border=True, width=820):
        st.subheader("This step has not been explained yet", anchor=False)
        if step.token_ids is None:
            st.write(ids_unknown(step))
            return
        st.write("A worker can explain everything the step wrote, or the part chosen above:")
        _everything(step)
        st.caption("Or compute it from a shell, then refresh:")
        st.code(attribute_command(trace, step), language="bash", wrap_lines=True)
    show_worker_hint()


def _offer(step: Step) -> None:
    """Offer to explain a step whose tokens stand below, to choose among."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            "Nothing of this step has been explained yet\\. Choose a part above, click or drag over tokens "
            "below, or have a worker explain it all\\.",
            width="stretch",
        )
        _everything(step)


def _everything(step: Step) -> None:
    if st.button("Explain everything", type="primary", icon=":material/play_arrow:"):
        request(step, None)
        st.rerun()


def _show_head(trace: Trace, models: Sequence[Step]) -> tuple[Step, list[Attribution]]:
    """Let the reader choose the step; return it with what is known of it."""
    head, controls = st.columns([2, 3], vertical_alignment="center")
    head.header(f"Why: {plain(clip(trace.name, 28) or trace.id)}", anchor=False)
    with controls.container(horizontal=True, vertical_alignment="center"):
        step = _choose_step(trace, models)
        attributions = open_store().get_attributions(step.id)
        if attributions:
            st.download_button(
                "Save as a page",
                lambda: render_html(attributions, f"{trace.name}: step {position_of(trace, step) + 1}"),
                file_name=f"{step.id}.html",
                mime="text/html",
                icon=":material/download:",
                help="All targets of this step in one HTML file that needs no server.",
                on_click="ignore",
            )
        st.page_link(
            TRACE, label="Conversation", icon=":material/forum:", query_params=query(trace.id, step.id)
        )
    if step.fidelity_reason and step.fidelity != "exact":
        st.caption(plain(f"Token ids are {step.fidelity}: {step.fidelity_reason}"))
    return step, attributions


def _show(trace: Trace, models: Sequence[Step]) -> None:
    step, attributions = _show_head(trace, models)
    explicit = asked("target") is not None or step.id in _wishes()
    empty = None if attributions else blank(step)
    pictures = attributions or ([empty] if empty is not None else [])
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        choice = _choose_target(step, attributions, pictures[0].tokens if pictures else ())
    if choice is None:
        settle_trace(trace.id, step.id)
        st.info("The model wrote nothing in this step, so there is nothing to explain.")
        return
    settle_trace(trace.id, step.id, choice.name if explicit or attributions else None)
    if choice.attribution is None and (attributions or explicit):
        show_request(step, choice.name, f"{choice.name} “{clip(choice.text, 60)}”", queue_now=explicit)
    if not attributions:
        if any(job.targets is None and job.status != "done" for job in explaining_jobs(step.id)):
            show_request(step, None, "everything this step wrote", queue_now=False)
        elif not explicit and pictures:
            _offer(step)
        elif not explicit:
            _empty(trace, step)
    if pictures:
        shown = _show_picture(trace, step, pictures, choice)
        if shown.target:
            with row.container(width="content"):
                show_check(step, shown)


def main() -> None:
    """Draw the page."""
    trace = open_trace()
    if trace is None:
        return
    models = [step for step in trace.steps if step.kind == "model"]
    if not models:
        st.header(f"Why: {plain(clip(trace.name, 28) or trace.id)}", anchor=False)
        st.info("This trace has no model step, so there is nothing to attribute.")
        return
    _show(trace, models)


main()
