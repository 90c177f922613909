"""The token heat map as a Streamlit component.

It is the viewer of `flashtrace_agent.html` in a shadow root, fed through the component's data
channel: what a trace says reaches the browser as data and never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.html import heatmap_script, heatmap_style, viewer_data

# Streamlit calls the function again on every rerun; the same picture is left alone, so the
# reader keeps the place in the text, and a new one keeps the chosen hop and contrast.
_MOUNT = """
const drawn = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  let root = parentElement.querySelector(".ft-root");
  if (!root) {
    root = document.createElement("div");
    root.className = "ft-root";
    parentElement.append(root);
  }
  const before = drawn.get(root);
  const content = JSON.stringify(data);
  if (before && before.content === content) return;
  drawn.set(root, { content, state: flashtraceHeatmap(root, data, before && before.state) });
}
"""


def heatmap(attributions: Sequence[Attribution], key: str) -> None:
    """Show the heat map and the ranking of segments of `attributions`, the first one chosen."""
    mount = st.components.v2.component(
        "flashtrace_heatmap", css=heatmap_style(), js=heatmap_script() + _MOUNT
    )
    mount(data=viewer_data(attributions), key=key)
