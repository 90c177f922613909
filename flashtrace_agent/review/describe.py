"""Put a report into words: what was found, and the tables that show it."""

from __future__ import annotations

from collections.abc import Iterator

from flashtrace_agent.count_of import count_of
from flashtrace_agent.percent import percent

from .describe_calls import argument_section, tool_sections, unknown_findings, untrusted_section
from .describe_comparison import comparison_findings, comparison_sections
from .describe_dead_weight import dead_findings, dead_section
from .describe_ledger import ledger_sections
from .document import Cell, Document, Section, Share, Table, Words
from .report import NOTE, GroupReport, Report
from .statistics import FEWEST_TRACES
from .wording import KIND_NAMES, short


def describe(report: Report, how_to_check: str = "add --yes") -> Document:
    """Return a report as a document; `how_to_check` says how the reader has idle lines checked."""
    several = len(report.groups) > 1
    sections: list[Section] = []
    findings: list[Words] = []
    if report.comparison is not None:
        findings += comparison_findings(report.comparison)
        sections += comparison_sections(report.comparison)
    for number, group in enumerate(report.groups):
        prefix = f"{group.key.model}: " if several else ""
        findings += [Words(prefix + words.text, words.tone) for words in _findings(group, how_to_check)]
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
                f"{group.key.method} with {count_of(group.key.hops, 'hop')}, token ids: {fidelity}; "
                f"{percent(group.template)} of the score rests on the chat template and is set aside",
            )
        )
    return facts


def _findings(group: GroupReport, how_to_check: str) -> Iterator[Words]:
    if not group.has_intervals:
        yield Words(
            f"Only {count_of(group.traces, 'trace')}: shares are shown without intervals, and no line is "
            f"judged. Verdicts need {FEWEST_TRACES}."
        )
    if group.fidelity.get("approximate"):
        yield Words(
            f"{group.fidelity['approximate']} steps have approximate token ids; read their shares with care.",
            "bad",
        )
    yield from dead_findings(group, how_to_check)
    yield from unknown_findings(group)
    flagged = [one for one in group.untrusted if one.flagged]
    for one in flagged[:3]:
        passage = f": “{short(one.passages[0].text, 80)}”" if one.passages else ""
        yield Words(
            f"{one.tool or 'A call'} was decided by a tool's result ({percent(one.share)} against user and "
            f"system prompt){passage}.",
            "bad",
        )
    if len(flagged) > 3:
        yield Words(f"{len(flagged) - 3} more calls were decided by tool results.", "bad")
    made_up = sum(one.kind == "made up?" for one in group.arguments)
    if made_up:
        yield Words(f"{made_up} argument values have no source above chance and may be made up.", "bad")
    for load in group.reasoning:
        if load.kind == "answer" and load.share is not None:
            yield Words(f"Answers: {load.verdict} ({percent(load.share)} of what they draw on is reasoning).")


def _sections(group: GroupReport) -> Iterator[Section]:
    yield dead_section(group)
    yield from ledger_sections(group)
    yield from tool_sections(group)
    if group.arguments:
        yield argument_section(group)
    if group.untrusted:
        yield untrusted_section(group)
    if group.reasoning:
        yield _reasoning_section(group)


def _reasoning_section(group: GroupReport) -> Section:
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
    return Section(
        "Reasoning load",
        [
            "How much of what a choice draws on directly is the reasoning the step wrote before it.",
            Table(("choice", "targets", "without reasoning", "on the reasoning", "hangs"), rows, 4),
        ],
    )
