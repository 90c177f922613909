"""Put what a review says of calls into words and tables: tools, arguments, untrusted influence."""

from __future__ import annotations

from collections.abc import Iterator

from flashtrace_agent.percent import percent

from .document import Cell, Section, Share, Table, Words
from .passages import Passage
from .report import GroupReport
from .tools import ToolReview, UnknownCall
from .wording import name_place, short

_SHOWN = 40
"""Rows of a table; the rest is in the JSON."""


def unknown_findings(group: GroupReport) -> Iterator[Words]:
    """Yield a sentence for each name of a tool that does not exist."""
    calls: dict[str, list[UnknownCall]] = {}
    for call in group.tools.unknown:
        calls.setdefault(call.name, []).append(call)
    for name, found in calls.items():
        times = "once" if len(found) == 1 else f"{len(found)} times"
        why = ""
        if found[0].sources:
            source = found[0].sources[0]
            why = f", suggested by {source.segment} “{short(source.text, 60)}” ({percent(source.share)})"
            if found[0].verbatim:
                held = found[0].verbatim[0]
                other = (
                    f"; the word stands in {held.segment} “{short(held.text, 50)}” ({percent(held.share)})"
                )
                why += ", which has the word" if held == source else other
        yield Words(f"{name}, a tool that does not exist, was called {times}{why}.", "bad")


def tool_sections(group: GroupReport) -> Iterator[Section]:
    """Yield what the schemas do, and the calls to tools that do not exist."""
    if group.tools.offered:
        yield _schema_section(group.tools)
        if group.tools.unknown:
            yield _unknown_section(group.tools)


def _schema_section(tools: ToolReview) -> Section:
    section = Section("Tools")
    rows: list[list[Cell]] = [
        [
            name,
            steps,
            tools.calls.get(name, 0),
            "never called, never above chance" if name in tools.never_cause else "",
        ]
        for name, steps in tools.offered.items()
    ]
    section.blocks.append(Table(("tool", "offered in steps", "called", "note"), rows))
    if tools.rivals:
        pairs: list[list[Cell]] = [
            [pair.called, pair.rival, pair.calls, Share(pair.own_share), Share(pair.rival_share)]
            for pair in tools.rivals
        ]
        section.blocks.extend(
            [
                "Tools that compete: the other's schema weighs at least half as much as the called one's.",
                Table(("called", "competes with", "calls", "own schema", "the other's"), pairs),
            ]
        )
    if tools.ignored:
        ignored: list[list[Cell]] = [
            [row.line.text, name_place(row.line), row.tokens] for row in tools.ignored
        ]
        section.blocks.extend(
            [
                "Descriptions of arguments that are not above chance in any argument:",
                Table(("description", "where", "tokens"), ignored, optional=("where",)),
            ]
        )
    return section


def _unknown_section(tools: ToolReview) -> Section:
    rows: list[list[Cell]] = []
    links: list[tuple[str, str, str]] = []
    for call in tools.unknown:
        for number, source in enumerate(call.sources):
            name, trace_id = ("", "") if number else (call.name, call.trace_id)
            rows.append([name, *_passage(source), trace_id])
            links.append((call.trace_id, call.step_id, call.target))
    return Section(
        "Calls to tools that do not exist",
        [
            "What suggested the name: the lines it drew on most.",
            Table(("called", "suggested by", "where", "share", "trace"), rows, 1, links, ("where",)),
        ],
    )


def _passage(passage: Passage) -> list[Cell]:
    return [passage.text, f"{passage.segment} {passage.part}".strip(), Share(passage.share)]


def argument_section(group: GroupReport) -> Section:
    """Return where every argument's value came from."""
    tones = {"made up?": "bad", "example": "bad", "instructions": "plain", "given": "good"}
    rows: list[list[Cell]] = [
        [
            f"{one.tool}.{one.argument}",
            one.value,
            Words(one.kind, tones[one.kind]),  # type: ignore[arg-type]
            one.source or "none above chance",
            Share(one.share) if one.source else None,
            one.passages[0].text if one.passages else "",
            "yes" if one.source in one.verbatim else "elsewhere" if one.verbatim else "no",
        ]
        for one in group.arguments[:_SHOWN]
    ]
    section = Section(
        "Argument provenance",
        [
            "Where every argument's value came from. A value without a source above chance may be made up; "
            "one from a worked example was copied from there.",
            Table(
                ("argument", "value", "kind", "source", "share", "strongest line", "word for word"),
                rows,
                5,
                [(one.trace_id, one.step_id, one.target) for one in group.arguments[:_SHOWN]],
                ("word for word", "strongest line"),
            ),
        ],
    )
    if len(group.arguments) > _SHOWN:
        section.blocks.append(f"{len(group.arguments) - _SHOWN} more are in the JSON.")
    return section


def untrusted_section(group: GroupReport) -> Section:
    """Return how much of each call came from tool results."""
    section = _untrusted_table(group)
    for call in group.untrusted:
        if call.recovery is not None:
            recorded = call.recorded_recovery
            beside = "" if recorded is None else f", recorded: {percent(recorded)}"
            section.blocks.append(
                f"{call.tool}: of the injected text's tokens, {percent(call.recovery)} are among the top "
                f"tenth of the prompt's (Recovery@10 %{beside})."
            )
    return section


def _untrusted_table(group: GroupReport) -> Section:
    rows: list[list[Cell]] = [
        [
            call.tool,
            Share(call.share),
            Share(call.name_share) if call.name_share is not None else None,
            Share(call.argument_share) if call.argument_share is not None else None,
            call.passages[0].text if call.passages else "",
            Words("flagged", "bad") if call.flagged else Words("", "dim"),
            call.trace_id,
        ]
        for call in group.untrusted[:_SHOWN]
    ]
    return Section(
        "Untrusted influence",
        [
            f"How much of a call came from tool results rather than from user and system prompt. Over "
            f"{percent(group.threshold)}, with a line of a result above chance, a call is flagged.",
            Table(
                ("call", "untrusted", "its name", "its arguments", "strongest line of a result", "", "trace"),
                rows,
                4,
                [(call.trace_id, call.step_id, call.target) for call in group.untrusted[:_SHOWN]],
                ("its name", "its arguments", "strongest line of a result"),
            ),
        ],
    )
