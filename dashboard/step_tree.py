"""The steps of a trace as a tree with a time line, to choose one from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

from flashtrace_agent.trace import Step, Trace

from .data import unknown_tools
from .text import clip, duration


def step_tree(trace: Trace, chosen: Step, key: str, on_choose: Callable[[str], None]) -> None:
    """Show the tree; `on_choose` is called with the id of the step the reader chose."""
    mount = st.components.v2.component(
        "flashtrace_step_tree", css=asset("step_tree.css"), js=asset("step_tree.js")
    )
    mount(
        data={"steps": _rows(trace), "chosen": chosen.id},
        key=key,
        on_chosen_change=lambda: on_choose(str(st.session_state[key].chosen)),
    )


@cache
def asset(name: str) -> str:
    """Return the text of a file beside this one."""
    return files(__package__ or "flashtrace_agent.dashboard").joinpath(name).read_text(encoding="utf-8")


def step_title(step: Step) -> str:
    """Return what a step does, in a few words."""
    if step.kind == "tool":
        return step.name or "tool"
    calls = step.output.tool_calls if step.output is not None else ()
    if calls:
        return "calls " + ", ".join(call.name for call in calls)
    return "answers" if step.output is not None and step.output.content else "model call"


def _rows(trace: Trace) -> list[dict[str, Any]]:
    begin = min(step.started_at for step in trace.steps)
    end = max(step.ended_at or step.started_at for step in trace.steps)
    whole = max((end - begin).total_seconds(), 1e-6)
    rows: list[dict[str, Any]] = []
    before: set[str] = set()
    for number, step in enumerate(trace.steps, start=1):
        length = ((step.ended_at or step.started_at) - step.started_at).total_seconds()
        rows.append(
            {
                "id": step.id,
                # One that does not stand before it is none: a recording may name parents in a circle.
                "parent": step.parent_id if step.parent_id in before else None,
                "label": f"{number} · {step_title(step)}",
                "caption": _caption(step),
                "took": duration(step.started_at, step.ended_at) or step.status,
                "kind": step.kind,
                "fault": _fault(step),
                "start": (step.started_at - begin).total_seconds() / whole,
                "length": length / whole,
            }
        )
        before.add(step.id)
    return rows


def _fault(step: Step) -> str:
    if step.status == "error":
        return clip(step.error or "failed", 120)
    calls = step.output.tool_calls if step.output is not None else ()
    unknown = unknown_tools(step, calls)
    return f"no such tool: {', '.join(unknown)}" if unknown else ""


def _caption(step: Step) -> str:
    if step.kind == "tool":
        return clip(step.result or "", 80)
    if step.output is None:
        return ""
    return clip(step.output.content or step.output.reasoning or "", 80)
