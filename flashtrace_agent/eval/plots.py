"""Results as SVG: one picture a metric, a dot with its interval for every method in every group."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from .report import HEADINGS
from .summary import Group, method_names

PLOTTED = ("recovery_5", "recovery_10", "mas_t", "mas_g", "comprehensiveness_t", "lds_t")
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e")
LABEL, WIDTH, ROW, TOP = 230, 520, 13, 34


def write_plots(found: Sequence[Group], folder: Path) -> list[Path]:
    """Write a picture for each metric in `PLOTTED` that has values, and return the files."""
    written = []
    for metric in PLOTTED:
        picture = _picture(found, metric)
        if picture:
            path = folder / f"{metric}.svg"
            path.write_text(picture, encoding="utf-8")
            written.append(path)
    return written


def _picture(found: Sequence[Group], metric: str) -> str:
    names = method_names(found)
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    parts: list[str] = []
    y = TOP
    for group in found:
        values = {name: group.estimate(name, metric) for name in group.methods}
        known = {name: value for name, value in values.items() if value is not None}
        if group.too_few or not known:
            continue
        y += 10
        parts.append(
            f'<text x="8" y="{y + 9}" class="group">{escape(f"{group.name} · {group.model}")}</text>'
        )
        for name, value in known.items():
            at, low, high = (_x(bound) for bound in (value.mean, value.low, value.high))
            colour = colours[name]
            parts.append(
                f"<g><title>{escape(name)}: {value.mean:.3f} [{value.low:.3f}, {value.high:.3f}], "
                f"{value.count} examples</title>"
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 5}" y2="{y + 5}" stroke="{colour}"/>'
                f'<circle cx="{at:.1f}" cy="{y + 5}" r="3.5" fill="{colour}"/>'
                f'<text x="{LABEL + WIDTH + 12}" y="{y + 9}" fill="{colour}">{escape(name)}</text></g>'
            )
            y += ROW
    if not parts:
        return ""
    grid = "".join(
        f'<line x1="{_x(tick):.0f}" x2="{_x(tick):.0f}" y1="{TOP}" y2="{y + 4}" stroke="#ddd"/>'
        f'<text x="{_x(tick):.0f}" y="{y + 18}" text-anchor="middle">{tick:.2f}</text>'
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL + WIDTH + 190}" height="{y + 28}" '
        'font-family="sans-serif" font-size="11">'
        "<style>.group{font-weight:bold}.title{font-size:14px}</style>"
        f'<rect width="100%" height="100%" fill="white"/><text x="8" y="20" class="title">{HEADINGS[metric]}'
        f", mean and 95 % interval</text>{grid}{''.join(parts)}</svg>\n"
    )


def _x(value: float) -> float:
    return LABEL + WIDTH * min(max(value, -0.05), 1.05)
