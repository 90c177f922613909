"""Put the dead weight of a prompt into words: what may go, and what the re-runs showed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from flashtrace_agent.count_of import count_of

from .dead_weight import Candidate, DeadWeight
from .document import Cell, Section, Table, Tone, Words
from .report import GroupReport
from .sampling import Cost
from .statistics import FEWEST_TRACES
from .verdict import Ablation
from .wording import name_line, name_place, short


def dead_findings(group: GroupReport, how_to_check: str) -> Iterator[Words]:
    """Yield what may go, or how to find out, in a sentence each."""
    dead = group.dead_weight
    if not dead.candidates:
        if group.has_intervals:
            yield Words("Every line is above chance for some choice.", "good")
        return
    tokens = sum(one.row.tokens for one in dead.candidates)
    if not dead.is_checked:
        are, them = ("is", "it") if len(dead.candidates) == 1 else ("are", "them")
        yield Words(
            f"{count_of(len(dead.candidates), 'line')} of {tokens:,.0f} tokens {are} not above chance. "
            f"What can go is known only once the model was run without {them}: {how_to_check}."
        )
        return
    if not dead.removable:
        yield Words(
            f"{count_of(len(dead.candidates), 'line')} looked idle, and the model still needs each of them.",
            "good",
        )
        return
    words = "; ".join(f"“{short(name_line(one.row.line), 70)}”" for one in dead.removable)
    proof = dead.together or next(one.ablation for one in dead.removable)
    steps = len(proof.steps) if proof is not None else 0
    unstable = sum(not step.stable for step in proof.steps) if proof is not None else 0
    hair = f", {unstable} of which by a hair" if unstable else ""
    yield Words(
        f"{count_of(len(dead.removable), 'line')} can go, {dead.tokens:,.0f} tokens a call, proved by "
        f"running the model without on {count_of(steps, 'step')}{hair}: {words}.",
        "good",
    )


def cost_sentence(group: GroupReport, cost: Cost) -> str:
    """Say what the check of a group's idle lines costs."""
    dead = group.dead_weight
    known = len(dead.candidates) - len(dead.unchecked)
    lines = count_of(len(dead.unchecked), "line") if dead.unchecked else "all lines that passed, at once,"
    mean = cost.tokens / max(cost.runs, 1)
    said = (
        f"The check of {lines} runs {group.key.model} {cost.runs:,} times over {mean:,.0f} tokens, "
        f"{cost.tokens:,} in all, and then decodes what passes."
    )
    return f"{said} {count_of(known, 'line')} had been checked before." if known else said


def dead_section(group: GroupReport) -> Section:
    """Return the candidates with what is known of each."""
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
    columns = ("line", "where", "tokens", "runs", "likelihood", "changed", "verdict")
    section.blocks.append(Table(columns, _rows(dead), optional=("where", "runs")))
    section.blocks.extend(_remarks(dead))
    return section


def _rows(dead: DeadWeight) -> list[list[Cell]]:
    rows: list[list[Cell]] = [
        [
            name_line(one.row.line),
            name_place(one.row.line),
            one.ablation.tokens if one.ablation else one.row.tokens,
            *_check_cells(one.ablation),
            _verdict(one, one.row.line in dead.kept),
        ]
        for one in dead.candidates
    ]
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
    return rows


def _remarks(dead: DeadWeight) -> Iterator[Words]:
    """Yield why lines are needed, and what steps did otherwise without those that are not."""
    for one in dead.candidates:
        said = _remark(one.ablation) if one.ablation is not None else ""
        if said:
            yield Words(f"“{short(name_line(one.row.line), 70)}”: {said}", "dim")


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
    tone: dict[str, Tone] = {"removable": "good", "needed": "bad", "not checked": "dim"}
    return Words(one.verdict, tone[one.verdict])


def _remark(ablation: Ablation) -> str:
    turned = [step for step in ablation.steps if step.same is False]
    if not turned:
        return "" if ablation.removable else ablation.reason
    action, instead = short(turned[0].action, 60), short(turned[0].instead or "", 60)
    if ablation.removable:
        return f"{count_of(len(turned), 'step')} turned by a hair, as from {action} to {instead}."
    return f"{ablation.reason} Instead of {action}: {instead}"
