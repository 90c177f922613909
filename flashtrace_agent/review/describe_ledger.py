"""Put the ledger into tables: what each segment and line costs, and what it buys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flashtrace_agent.percent import percent

from .document import Cell, Section, Share, Stack, Table, Words
from .ledger import Row, instruction_lines
from .observation import Kind
from .report import GroupReport
from .wording import KIND_NAMES, name_line, name_place

_ABOVE_CHANCE = {None: Words("not known", "dim"), True: Words("yes", "good"), False: Words("no", "bad")}


def ledger_sections(group: GroupReport) -> Iterator[Section]:
    """Yield the tables of segments and of lines."""
    segments = [row for row in group.ledger if row.is_segment]
    kinds: list[Kind] = [kind for kind in KIND_NAMES if any(kind in row.influence for row in group.ledger)]
    if not kinds:
        return  # nothing but calls as a whole was attributed
    yield Section(
        "Ledger: segments",
        [
            "What each part of the prompt costs per call, and its share of the influence on each kind of "
            "choice (95 % interval over traces).",
            Stack([(KIND_NAMES[kind], _parts(segments, kind)) for kind in kinds]),
            _rows(segments, kinds),
        ],
    )
    lines = list(instruction_lines(group.ledger))
    if lines:
        yield Section(
            "Ledger: lines",
            [
                "Every line of the system prompt, the tool schemas and the examples. By chance: what random "
                "filler of the line's length would get. Mattered: in how many targets it was above 95 % of "
                "filler.",
                _rows(lines, kinds),
            ],
        )


def _parts(segments: Sequence[Row], kind: Kind) -> list[tuple[str, float]]:
    """Return what part of a kind's whole influence each segment has."""
    sums = [
        (row.line.segment, row.influence[kind].share * row.influence[kind].targets)
        for row in segments
        if kind in row.influence
    ]
    whole = sum(share for _, share in sums) or 1.0
    return [(name, share / whole) for name, share in sums]


def _rows(rows: Sequence[Row], kinds: Sequence[Kind]) -> Table:
    is_lines = bool(rows) and not rows[0].is_segment
    columns = ["line", "where"] if is_lines else ["segment"]
    columns += ["tokens", *(KIND_NAMES[kind] for kind in kinds)]
    columns += ["by chance", "mattered", "above chance"] if is_lines else ["steps"]
    made: list[list[Cell]] = []
    for row in rows:
        cells: list[Cell] = [name_line(row.line), name_place(row.line)] if is_lines else [row.line.segment]
        cells.append(row.tokens)
        found = [row.influence.get(kind) for kind in kinds]
        cells += [
            Share(one.share, one.low, one.high, one.chance) if one is not None else None for one in found
        ]
        if is_lines:
            known = [one for one in found if one is not None]
            chance = [one.chance for one in known if one.chance is not None]
            mattered = [one.mattered for one in known if one.mattered is not None]
            cells.append(percent(sum(chance) / len(chance), 1) if chance else None)
            cells.append(percent(max(mattered), 0) if mattered else None)
            cells.append(_ABOVE_CHANCE[row.above_chance])
        else:
            cells.append(row.steps)
        made.append(cells)
    return Table(columns, made, optional=("by chance", "mattered", "steps", "where"))
