"""The token heat map as a Streamlit component.

It is the viewer of `flashtrace_agent.html` in a shadow root, fed through the component's data
channel: what a trace says reaches the browser as data and never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.html import heatmap_script, heatmap_style, viewer_data
from flashtrace_agent.span import Span

# Streamlit calls the function again on every rerun; the same picture is left alone, so the
# reader keeps the place in the text, and a new one keeps the chosen hop and contrast.
_MOUNT = """
const drawn = new WeakMap();
let went = false; // to another target, perhaps of another step: the focus follows into its picture

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let root = parentElement.querySelector(".ft-root");
  if (!root) {
    root = document.createElement("div");
    root.className = "ft-root";
    parentElement.append(root);
  }
  const before = drawn.get(root);
  const content = JSON.stringify(data);
  if (before && before.content === content) return;
  const events = {
    pick: (range) => setTriggerValue("picked", range),
    go: (target) => {
      went = true;
      setTriggerValue("went", { step: target.step, name: target.name });
    },
  };
  drawn.set(root, { content, state: flashtraceHeatmap(root, data, before && before.state, events) });
  if (went) root.querySelector(".ft-text").focus({ preventScroll: true });
  went = false;
}
"""


def heatmap(
    attribution: Attribution,
    key: str,
    *,
    parts: dict[str, tuple[Span, ...]],
    influence: Sequence[dict[str, Any]],
    pending: Sequence[Span] = (),
    on_pick: Callable[[int, int], None],
    on_go: Callable[[str, str], None],
) -> None:
    """Show the heat map and the ranking of segments of an attribution.

    Args:
        attribution: what is shown.
        key: the component's key in the session.
        parts: the named parts of the completion, which a click chooses.
        influence: for the reverse view, targets of the trace: ``{"step", "where", "name", "text",
            "shown", "shares": {segment: share}}``.
        pending: tokens whose explanation has been asked for.
        on_pick: called with the tokens [start, end) the reader chose to have explained.
        on_go: called with step and target the reader chose in the reverse view.
    """
    mount = st.components.v2.component(
        "flashtrace_heatmap", css=heatmap_style(), js=heatmap_script() + _MOUNT
    )

    def picked() -> None:
        start, end = st.session_state[key].picked
        on_pick(int(start), int(end))

    def went() -> None:
        chosen = st.session_state[key].went
        on_go(str(chosen["step"]), str(chosen["name"]))

    data = viewer_data([attribution]) | {
        "parts": [{"name": name, "spans": _pairs(spans)} for name, spans in parts.items()],
        "influence": list(influence),
        "pending": _pairs(pending),
    }
    mount(data=data, key=key, on_picked_change=picked, on_went_change=went)


def _pairs(spans: Sequence[Span]) -> list[list[int]]:
    return [[span.start, span.end] for span in spans]
