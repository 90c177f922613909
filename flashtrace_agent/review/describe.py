"""Put a report into words: what was found, and the tables that show it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .dead_weight import Ablation, Candidate
from .describe_calls import argument_section, tool_sections, unknown_findings, untrusted_section
from .describe_comparison import comparison_findings, comparison_sections
from .document import Cell, Document, Section, Share, Stack, Table, Words
from .ledger import Row, instruction_lines
from .observation import Kind
from .report import NOTE, GroupReport, Report
from .statistics import FEWEST_TRACES
from .wording import KIND_NAMES, name_line, name_place, short


def describe(report: Report) -> Document:
    """Return a report as a document."""
    several = len(report.groups) > 1
    sections: list[Section] = []
    findings: list[Words] = []
    if report.comparison is not None:
        findings += comparison_findings(report.comparison)
        sections += comparison_sections(report.comparison)
    for number, group in enumerate(report.groups):
        prefix = f"{group.key.model}: " if several else ""
        findings += [Words(prefix + words.text, words.tone) for words in _findings(group)]
        sections += [Section(prefix + section.title, section.blocks, number) for section in _sections(group)]
    return Document(report.title, _facts(report), findings, sections, NOTE)


def _facts(report: Report) -> list[tuple[str, str]]:
    facts = [("steps", f"{report.steps:,} model steps of {report.traces:,} traces")]
    for reason, count in report.left_out.items():
        facts.append(("left out", f"{count:,} {reason}"))
    for group in report.groups:
        fidelity = ", ".join(f"{count} {name}" for name, count in group.fidelity.items())
        facts.append(
            (
                group.key.model or "model",
                f"{len(group.observations):,} steps, {group.prompt_tokens:,.0f} tokens a prompt, "
                f"{group.key.method} with {group.key.hops} hop{'s' * (group.key.hops != 1)}, token ids: "
                f"{fidelity}; "
                f"{group.template:.0%} of the score rests on the chat template and is set aside",
            )
        )
    return facts


def _findings(group: GroupReport) -> Iterator[Words]:
    if not group.has_intervals:
        yield Words(
            f"Only {group.traces} trace{'s' * (group.traces != 1)}: shares are shown without intervals, "
            f"and no line is judged. "
            f"Verdicts need {FEWEST_TRACES}."
        )
    if group.fidelity.get("approximate"):
        yield Words(
            f"{group.fidelity['approximate']} steps have approximate token ids; read their shares with care.",
            "bad",
        )
    yield from _dead_findings(group)
    yield from unknown_findings(group)
    flagged = [one for one in group.untrusted if one.flagged]
    for one in flagged[:3]:
        passage = f": “{short(one.passages[0].text, 80)}”" if one.passages else ""
        yield Words(
            f"{one.tool or 'A call'} was decided by a tool's result ({one.share:.0%} against user and system "
            f"prompt){passage}.",
            "bad",
        )
    if len(flagged) > 3:
        yield Words(f"{len(flagged) - 3} more calls were decided by tool results.", "bad")
    made_up = sum(one.kind == "made up?" for one in group.arguments)
    if made_up:
        yield Words(f"{made_up} argument values have no source above chance and may be made up.", "bad")
    for load in group.reasoning:
        if load.kind == "answer" and load.share is not None:
            yield Words(f"Answers: {load.verdict} ({load.share:.0%} of what they draw on is reasoning).")


def _dead_findings(group: GroupReport) -> Iterator[Words]:
    dead = group.dead_weight
    if not dead.candidates:
        if group.has_intervals:
            yield Words("Every line is above chance for some choice.", "good")
        return
    tokens = sum(one.row.tokens for one in dead.candidates)
    if not dead.is_checked:
        yield Words(
            f"{_count(len(dead.candidates), 'line')} of {tokens:,.0f} tokens are not above chance. "
            f"Whether they can "
            "go is known only once the model was run without them: add --yes."
        )
        return
    if not dead.removable:
        yield Words(
            f"{_count(len(dead.candidates), 'line')} looked idle, and the model still needs each of them.",
            "good",
        )
        return
    words = "; ".join(f"“{short(name_line(one.row.line), 70)}”" for one in dead.removable)
    proof = dead.together or next(one.ablation for one in dead.removable)
    steps = len(proof.steps) if proof is not None else 0
    unstable = sum(not step.stable for step in proof.steps) if proof is not None else 0
    hair = f", {unstable} of which by a hair" if unstable else ""
    yield Words(
        f"{_count(len(dead.removable), 'line')} can go, {dead.tokens:,.0f} tokens a call, proved by "
        f"running the model without on {_count(steps, 'step')}{hair}: {words}.",
        "good",
    )


def _sections(group: GroupReport) -> Iterator[Section]:
    yield _dead_weight(group)
    yield from _ledger(group)
    yield from tool_sections(group)
    if group.arguments:
        yield argument_section(group)
    if group.untrusted:
        yield untrusted_section(group)
    if group.reasoning:
        rows: list[list[Cell]] = [
            [
                KIND_NAMES.get(load.kind, load.kind),  # type: ignore[call-overload]
                load.targets,
                load.without,
                Share(load.share, load.low, load.high) if load.share is not None else None,
                load.verdict,
            ]
            for load in group.reasoning
        ]
        yield Section(
            "Reasoning load",
            [
                "How much of what a choice draws on directly is the reasoning the step wrote before it.",
                Table(("choice", "targets", "without reasoning", "on the reasoning", "hangs"), rows, 4),
            ],
        )


def _dead_weight(group: GroupReport) -> Section:
    dead = group.dead_weight
    section = Section("Dead weight")
    if not dead.candidates:
        section.blocks.append(
            "No line's influence is as low as random filler's."
            if group.has_intervals
            else f"No line is judged: verdicts need {FEWEST_TRACES} traces."
        )
        return section
    section.blocks.append(
        "Lines whose influence is not above that of random filler of their length, in any kind of choice. "
        "A line is removable only if the model, run without it, finds the recorded actions as likely and "
        "does the same, but for at most one step in ten whose choice hung by a hair anyway."
    )
    rows: list[list[Cell]] = []
    for one in dead.candidates:
        rows.append(
            [
                name_line(one.row.line),
                name_place(one.row.line),
                one.ablation.tokens if one.ablation else one.row.tokens,
                *_check_cells(one.ablation),
                _verdict(one, one.row.line in dead.kept),
            ]
        )
    if dead.together is not None:
        kept = f" ({len(dead.kept)} put back)" if dead.kept else ""
        rows.append(
            [
                Words(f"all that passed, at once{kept}"),
                "",
                dead.together.tokens,
                *_check_cells(dead.together),
                Words("removable", "good") if dead.together.removable else Words("needed", "bad"),
            ]
        )
    section.blocks.append(
        Table(
            ("line", "where", "tokens", "runs", "likelihood", "changed", "verdict"),
            rows,
        )
    )
    for one in dead.candidates:
        if one.ablation is None:
            continue
        turned = [step for step in one.ablation.steps if step.same is False]
        if not one.ablation.removable:
            said = _why_needed(one.ablation)
        elif turned:
            said = (
                f"{_count(len(turned), 'step')} turned by a hair, as from {short(turned[0].action, 60)} to "
                f"{short(turned[0].instead or '', 60)}."
            )
        else:
            continue
        section.blocks.append(Words(f"“{short(name_line(one.row.line), 70)}”: {said}", "dim"))
    return section


def _check_cells(ablation: Ablation | None) -> list[Cell]:
    if ablation is None:
        return [None, None, None]
    unstable = sum(not step.stable for step in ablation.steps)
    return [
        f"{len(ablation.steps)} ({unstable} by a hair)" if unstable else len(ablation.steps),
        f"×{math.exp(-ablation.mean_drop):.2f} (worst ×{math.exp(-ablation.worst_drop):.2f})",
        sum(step.same is False for step in ablation.steps),
    ]


def _verdict(one: Candidate, was_kept: bool) -> Words:
    if was_kept:
        return Words("removable alone", "plain")
    tone: dict[str, str] = {"removable": "good", "needed": "bad", "not checked": "dim"}
    return Words(one.verdict, tone[one.verdict])  # type: ignore[arg-type]


def _why_needed(ablation: Ablation) -> str:
    step = next((step for step in ablation.steps if step.same is False), None)
    if step is None:
        return ablation.reason
    return f"{ablation.reason} Instead of {short(step.action, 60)}: {short(step.instead or '', 60)}"


def _ledger(group: GroupReport) -> Iterator[Section]:
    segments = [row for row in group.ledger if row.is_segment]
    kinds: list[Kind] = [kind for kind in KIND_NAMES if any(kind in row.influence for row in group.ledger)]
    if not kinds:
        return  # nothing but calls as a whole was attributed
    bars = [
        (
            KIND_NAMES[kind],
            [
                (row.line.segment, row.influence[kind].share * row.influence[kind].targets)
                for row in segments
                if kind in row.influence
            ],
        )
        for kind in kinds
    ]
    whole = [(name, sum(share for _, share in parts) or 1.0) for name, parts in bars]
    scaled = [
        (name, [(part, share / total) for part, share in parts])
        for (name, parts), (_, total) in zip(bars, whole, strict=True)
    ]
    yield Section(
        "Ledger: segments",
        [
            "What each part of the prompt costs per call, and its share of the influence on each kind of "
            "choice "
            "(95 % interval over traces).",
            Stack(scaled),
            _rows(segments, kinds),
        ],
    )
    lines = list(instruction_lines(group.ledger))
    if lines:
        yield Section(
            "Ledger: lines",
            [
                "Every line of the system prompt, the tool schemas and the examples. By chance: what "
                "random filler of "
                "the line's length would get. Mattered: in how many targets it was above 95 % of filler.",
                _rows(lines, kinds),
            ],
        )


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
            cells.append(f"{sum(chance) / len(chance):.1%}" if chance else None)
            cells.append(f"{max(mattered):.0%}" if mattered else None)
            above = row.above_chance
            cells.append(
                Words("not known", "dim")
                if above is None
                else Words("yes", "good")
                if above
                else Words("no", "bad")
            )
        else:
            cells.append(row.steps)
        made.append(cells)
    return Table(columns, made, optional=frozenset({"by chance", "mattered", "steps"}))


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
