"""Attributions as one standalone HTML page: a token heat map and the ranking of segments.

The page asks nothing of the network: style, script and data are inside it, and its content
security policy forbids the browser anything else. The files in `heatmap/` draw the picture; the
dashboard uses them too, on the same `viewer_data`, so a saved page and the dashboard show the
same thing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from .attribution import Attribution, Scores
from .check import Check
from .errors import FlashTraceError

NOTE = (
    "Attribution is evidence, not proof: it shows what the model's computation drew on, and only "
    "a changed prompt shows what would have happened without it."
)

FIDELITY_HELP = {
    "exact": "The token ids come from the process or server that generated them.",
    "rendered": "The token ids were re-rendered with the chat template, and their count agrees.",
    "approximate": "Only the text was known, or a stand-in model was used: read the scores with care.",
}

SCRIPTS = (
    "text.js",
    "boxes.js",
    "find.js",
    "reading.js",
    "ranks.js",
    "layout.js",
    "fold.js",
    "line.js",
    "lines.js",
    "pane.js",
    "controls.js",
    "side.js",
    "tip.js",
    "point.js",
    "pick.js",
    "keyboard.js",
    "viewer.js",
)
"""What the viewer is made of, in `heatmap/`, in the order in which it is put together."""

_START = """
flashtraceHeatmap(
  document.getElementById("heatmap"),
  JSON.parse(document.getElementById("data").textContent)
);
"""


def render_html(attributions: Sequence[Attribution], title: str = "What the model drew on") -> str:
    """Return a standalone page that shows `attributions`, the first one chosen.

    Raises:
        FlashTraceError: if there is nothing to draw, or a score is not a finite number.
    """
    body = f"<h1>{markup(title)}</h1>\n{heatmap_markup(attributions)}"
    return standalone_page(title, heatmap_page_style(), body, script=heatmap_page_script())


def standalone_page(title: str, style: str, body: str, script: str = "") -> str:
    """Return a page around `body`, markup, that may load nothing and run nothing but `script`."""
    allowed = "none"
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        allowed = f"sha256-{digest}"
        body += f"\n<script>{script}</script>"
    shell = files(__package__ or "flashtrace_agent").joinpath("page.html").read_text(encoding="utf-8")
    return Template(shell).substitute(title=markup(title), style=style, body=body, allowed=allowed)


def heatmap_markup(attributions: Sequence[Attribution]) -> str:
    """Return the place of the heat map on a page, and its data; `heatmap_page_script` draws it.

    Raises:
        FlashTraceError: if there is nothing to draw, or a score is not a finite number.
    """
    return (
        '<div id="heatmap"><noscript>This page draws its heat map with a script it contains; allow scripts '
        "to see it.</noscript></div>\n"
        f'<script type="application/json" id="data">{_script_json(viewer_data(attributions))}</script>'
    )


def heatmap_page_script() -> str:
    """Return the script of a page with a heat map."""
    return heatmap_script() + _START


def heatmap_page_style() -> str:
    """Return the style of a page with a heat map, or of a saved run."""
    return asset("page.css") + heatmap_style()


def viewer_data(attributions: Sequence[Attribution]) -> dict[str, Any]:
    """Return what the viewer draws, JSON-ready.

    Attributions of the same step share their tokens, which are held once in ``sequences``.
    Each attribution has ``views``: the final score, then one per hop, with each segment's
    share of the view's sum, largest first.

    Raises:
        FlashTraceError: if there is nothing to draw, or a score is not a finite number.
    """
    if not attributions:
        raise FlashTraceError("There is nothing to draw: pass at least one attribution.")
    sequences: list[dict[str, Any]] = []
    known: dict[tuple[Any, ...], int] = {}
    items = []
    for attribution in attributions:
        key = (attribution.tokens, attribution.segments)
        if key not in known:
            known[key] = len(sequences)
            sequences.append(
                {
                    "tokens": list(attribution.tokens),
                    "segments": [
                        [segment.name, segment.span.start, segment.span.end, segment.message]
                        for segment in attribution.segments
                    ],
                }
            )
        items.append(_item(attribution, known[key]))
    return {"sequences": sequences, "attributions": items, "note": NOTE}


def heatmap_script() -> str:
    """Return the JavaScript that defines ``flashtraceHeatmap(root, data, before, events)``."""
    return "\n".join(map(asset, SCRIPTS))


def heatmap_style() -> str:
    """Return the CSS of the heat map."""
    return asset("heatmap.css")


def _item(attribution: Attribution, sequence: int) -> dict[str, Any]:
    views = [
        _view(
            attribution,
            attribution.scores,
            "Final",
            "Score of each source token once the recursion through the reasoning is done.",
        )
    ]
    for number, hop in enumerate(attribution.hops):
        what = "the target" if number == 0 else "the reasoning, as weighted by what drew on it"
        view = _view(attribution, hop.scores, f"Hop {number}", f"Raw totals passed back from {what}.")
        view["remaining_mass"] = hop.remaining_mass
        views.append(view)
    return {
        "sequence": sequence,
        "name": attribution.target_name or ", ".join(map(str, attribution.target)),
        "text": attribution.target_text,
        "target": [[span.start, span.end] for span in attribution.target],
        "through": [[span.start, span.end] for span in attribution.through],
        "method": attribution.settings.get("picked", attribution.method),
        "model": attribution.model,
        "fidelity": attribution.fidelity,
        "fidelity_help": FIDELITY_HELP.get(attribution.fidelity, ""),
        "check": None if attribution.checked is None else _check(attribution.checked),
        "views": views,
    }


def _check(check: Check) -> dict[str, str]:
    """Return the verdict of a check, and in words what was found."""
    return {
        "verdict": check.verdict,
        "help": f"Removing the top {check.removed} of {check.pool} {check.unit} costs the {check.measured} "
        f"{check.top_drop:.2f} nats, {check.ratio:.1f} times what as many others cost "
        f"(95 % interval {check.low:.1f} to {check.high:.1f}).",
    }


def _view(attribution: Attribution, scores: Scores, label: str, help_text: str) -> dict[str, Any]:
    if not np.isfinite(scores).all():
        raise FlashTraceError(
            f"The scores of target {attribution.target_name or attribution.target_text!r} are not all "
            "finite numbers; attribute the step again with the model in float32."
        )
    total = float(scores.sum(dtype=np.float64)) or 1.0
    sums: dict[str, list[float]] = {}
    for segment in attribution.segments:
        entry = sums.setdefault(segment.name, [0.0, 0])
        entry[0] += float(scores[segment.span.start : segment.span.end].sum(dtype=np.float64))
        entry[1] += len(segment.span)
    ranked = sorted(sums.items(), key=lambda pair: -pair[1][0])
    return {
        "label": label,
        "help": help_text,
        "remaining_mass": None,
        "total": total,
        "scores": [_short(score) for score in scores.tolist()],
        "segments": [[name, _short(mass / total), count] for name, (mass, count) in ranked],
    }


def _short(number: float) -> float:
    """Round to five significant digits: float32 has seven, and the page is half the size."""
    return float(f"{number:.5g}") if number else 0


def _script_json(data: Any) -> str:
    """Return JSON that cannot end the script element it stands in, whatever the tokens say."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def markup(text: str) -> str:
    """Escape for HTML; lone surrogates, which UTF-8 cannot carry, become references."""
    return escape(text).encode("ascii", "xmlcharrefreplace").decode("ascii")


@cache
def asset(name: str) -> str:
    """Return a file of `heatmap/`."""
    return files(__package__ or "flashtrace_agent").joinpath("heatmap", name).read_text(encoding="utf-8")
