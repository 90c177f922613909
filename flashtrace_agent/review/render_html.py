"""A review as one standalone page: no script, nothing asked of the network, pictures as inline SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files

from flashtrace_agent.html import markup, standalone_page
from flashtrace_agent.percent import percent

from .document import Block, Cell, Document, Share, Stack, Table, Words, cell_text

_BAR_WIDTH = 96
_KEY = (
    '<p class="key">'
    '<svg width="26" height="10"><rect class="value" width="26" height="8"/></svg>share'
    '<svg width="26" height="10"><line class="interval" x1="2" x2="24" y1="5" y2="5"/></svg>interval of 95 %'
    '<svg width="10" height="12"><line class="chance" x1="5" x2="5" y1="0" y2="12"/></svg>by chance</p>'
)
_STACK_WIDTH, _STACK_ROW = 900, 46
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito's, which stay apart for the colour-blind."""


def render_html(document: Document) -> str:
    """Return the document as a page; nothing a prompt says becomes markup."""
    style = files(__package__ or "flashtrace_agent.review").joinpath("review.css").read_text(encoding="utf-8")
    return standalone_page(document.title, style, "\n".join(_body(document)))


def _body(document: Document) -> Iterator[str]:
    yield f"<h1>{markup(document.title)}</h1>"
    yield "<dl>"
    for name, value in document.facts:
        yield f"<dt>{markup(name)}</dt><dd>{markup(value)}</dd>"
    yield "</dl>"
    if document.findings:
        yield '<ul class="findings">'
        for finding in document.findings:
            yield f'<li class="{finding.tone}">{markup(finding.text)}</li>'
        yield "</ul>"
    for section in document.sections:
        yield f"<section><h2>{markup(section.title)}</h2>"
        for block in section.blocks:
            yield from _block(block)
        yield "</section>"
    yield f"<p>{markup(document.note)}</p>"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Stack):
        yield _stack(block)
    elif isinstance(block, Words):
        yield f'<p class="{block.tone}">{markup(block.text)}</p>'
    else:
        yield f"<p>{markup(block)}</p>"


def _table(table: Table) -> Iterator[str]:
    largest = max(
        (
            max(cell.value, cell.high or 0.0, cell.chance or 0.0)
            for row in table.rows
            for cell in row
            if isinstance(cell, Share)
        ),
        default=1.0,
    )
    yield '<div class="scroll"><table><thead><tr>'
    for index, title in enumerate(table.columns):
        numbers = all(isinstance(row[index], int | float | None) for row in table.rows)
        yield f'<th class="number">{markup(title)}</th>' if numbers else f"<th>{markup(title)}</th>"
    yield "</tr></thead><tbody>"
    for row in table.rows:
        cells = (_cell(cell, index == table.wide, largest) for index, cell in enumerate(row))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
    if any(isinstance(cell, Share) and cell.chance is not None for row in table.rows for cell in row):
        yield _KEY


def _cell(cell: Cell, is_wide: bool, largest: float) -> str:
    text = markup(cell_text(cell))
    if isinstance(cell, Share):
        return f'<td class="share">{text}{_bar(cell, largest)}</td>'
    if isinstance(cell, Words):
        return f'<td><span class="{cell.tone}">{text}</span></td>'
    kind = "wide" if is_wide else "number" if isinstance(cell, int | float) else ""
    return f'<td class="{kind}">{text}</td>'


def _bar(share: Share, largest: float) -> str:
    def x(value: float) -> float:
        return round(value / (largest or 1.0) * (_BAR_WIDTH - 2), 1)

    parts = [
        f'<rect class="track" width="{_BAR_WIDTH}" y="2" height="8" rx="2"/>',
        f'<rect class="value" width="{x(share.value)}" y="2" height="8" rx="2"/>',
    ]
    if share.low is not None and share.high is not None:
        parts.append(f'<line class="interval" x1="{x(share.low)}" x2="{x(share.high)}" y1="6" y2="6"/>')
    if share.chance is not None:
        parts.append(f'<line class="chance" x1="{x(share.chance)}" x2="{x(share.chance)}" y1="0" y2="12"/>')
    return f'<svg width="{_BAR_WIDTH}" height="12" aria-hidden="true">{"".join(parts)}</svg>'


def _stack(stack: Stack) -> str:
    names = list(dict.fromkeys(part for _, parts in stack.bars for part, _ in parts))
    left = 110
    height = _STACK_ROW * len(stack.bars)
    drawn: list[str] = []
    for row, (name, parts) in enumerate(stack.bars):
        y = row * _STACK_ROW
        drawn.append(f'<text x="0" y="{y + 20}">{markup(name)}</text>')
        position = float(left)
        for part, share in parts:
            width = share * (_STACK_WIDTH - left)
            colour = COLOURS[names.index(part) % len(COLOURS)]
            drawn.append(
                f'<rect x="{position:.1f}" y="{y + 6}" width="{max(width - 1, 0):.1f}" height="20" '
                f'fill="{colour}">'
                f"<title>{markup(part)} {percent(share, 1)}</title></rect>"
            )
            drawn += _label(part, share, position, width, y + 39)
            position += width
    return (
        f'<svg class="stack" viewBox="0 0 {_STACK_WIDTH} {height}" role="img" '
        f'aria-label="Share of influence by segment">{"".join(drawn)}</svg>'
    )


def _label(part: str, share: float, x: float, width: float, y: int) -> Sequence[str]:
    words = f"{part} {percent(share)}"
    room = int(width / 6.2)
    if room < 6:
        return ()
    shown = words if len(words) <= room else words[: room - 1] + "…"
    return (f'<text class="dim" x="{x:.1f}" y="{y}">{markup(shown)}</text>',)
