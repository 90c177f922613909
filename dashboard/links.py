"""Permalinks: the address of a page names the trace, the step and the target it shows.

A link from the menu at the top carries no query; what the session looked at last fills it in.
"""

from __future__ import annotations

import streamlit as st

TRACES = "traces.py"
TRACE = "trace.py"
WHY = "why.py"
TRAJECTORY = "trajectory.py"
COMPARE = "compare.py"
REVIEW = "review.py"

_NAMES = ("trace", "step", "target")


def asked(name: str) -> str | None:
    """Return the ``trace``, ``step`` or ``target`` of the address, or else of the page seen last."""
    if name in st.query_params:
        return str(st.query_params[name])
    if any(other in st.query_params for other in _NAMES):
        return None  # a step of another trace must not creep into a given address
    remembered = st.session_state.get(f"last_{name}")
    return None if remembered is None else str(remembered)


def moved(name: str) -> bool:
    """Tell whether the address names something else than the pages wrote into it last.

    So it is after a link and after going back; then it counts more than the page's widgets, which would
    write what they show into it again.
    """
    return name in st.query_params and st.query_params[name] != st.session_state.get(f"last_{name}")


def settle(**chosen: str | None) -> None:
    """Write what the page shows into its address, and nothing else, and into the session.

    All at once: the browser's back button stops at every state the address was in.
    """
    for name, value in chosen.items():
        st.session_state[f"last_{name}"] = value
    address = {name: value for name, value in chosen.items() if value is not None}
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def settle_trace(trace: str, step: str | None = None, target: str | None = None) -> None:
    """Do so on a page that shows something of a trace."""
    settle(trace=trace, step=step, target=target)


def query(trace: str, step: str | None = None, target: str | None = None) -> dict[str, str]:
    """Return the query of a link; parts that are None are left out."""
    parts = {"trace": trace, "step": step, "target": target}
    return {name: value for name, value in parts.items() if value is not None}
