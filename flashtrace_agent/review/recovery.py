"""How much of a known injected text an attribution finds, for runs of attack benchmarks.

Recovery@10 %: of the injected tokens, the part that is among the top tenth of the prompt's tokens. The
injected text is read from the trace's metadata under ``injections``, where an importer puts it; the
template's tokens and tokens without a letter or digit are not ranked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.trace import Trace

from .lines import Layout, split_lines

_TOP = 0.1


def recovery(trace: Trace, attribution: Attribution, layout: Layout) -> float | None:
    """Return Recovery@10 % of the injected text in the tool results; None where none is known."""
    injected = _injected_lines(trace, layout)
    if not injected.any():
        return None
    on_text = layout.line_of_token >= 0
    ranked = np.flatnonzero(on_text & _has_words(attribution))
    gold = injected[layout.line_of_token[ranked]]
    if not gold.any():
        return None
    top = np.argsort(-attribution.scores[ranked], kind="stable")[: int(np.ceil(_TOP * len(ranked)))]
    return float(gold[top].sum() / gold.sum())


def recorded_recovery(attribution: Attribution) -> float | None:
    """Return the Recovery@10 % that was recorded with imported scores."""
    metrics = attribution.settings.get("recorded_metrics")
    value = metrics.get("recovery_at_10pct") if isinstance(metrics, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _injected_lines(trace: Trace, layout: Layout) -> npt.NDArray[np.bool_]:
    injections: Any = trace.metadata.get("injections")
    texts = injections.values() if isinstance(injections, Mapping) else ()
    wanted = {line for text in texts if isinstance(text, str) for line in split_lines(text)}
    return np.array(
        [line.segment.startswith("tool_result") and line.text in wanted for line in layout.lines], dtype=bool
    )


def _has_words(attribution: Attribution) -> npt.NDArray[np.bool_]:
    return np.array([any(map(str.isalnum, token)) for token in attribution.tokens], dtype=bool)
