"""Prompt reviews: which lines of a prompt earn their place, over a selection of attributed steps.

Data flow, one file each:

    (trace, step, attributions) ──lines──▶ layout of the prompt ──observation──▶ shares per line and target
    observations ──selection──▶ groups of one model ──ledger, tools, provenance, untrusted,
    reasoning_load, compare──▶ Report ──render_terminal, render_markdown, render_html──▶ reader

`ablation` alone needs torch: it runs the model again without a line; `line_check` says in which order,
`verdict` what follows, and `proofs` keeps it for the next review. Everything else is numpy on what the store
holds.
"""

from __future__ import annotations

from .compare import Comparison, compare_versions
from .conditions import Condition, parse_condition
from .observation import Observation, observe
from .report import GroupReport, Report, build_report

__all__ = [
    "Comparison",
    "Condition",
    "GroupReport",
    "Observation",
    "Report",
    "build_report",
    "compare_versions",
    "observe",
    "parse_condition",
]
