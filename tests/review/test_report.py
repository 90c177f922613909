"""What a review says of steps whose influence is planted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from flashtrace_agent.percent import percent
from flashtrace_agent.review import Report, build_report, compare_versions, parse_condition
from flashtrace_agent.review.describe import describe
from flashtrace_agent.review.ledger import Row
from flashtrace_agent.review.render_html import render_html
from flashtrace_agent.review.render_markdown import render_markdown
from flashtrace_agent.review.render_terminal import render_terminal
from flashtrace_agent.review.selection import select

from .prompts import IDLE, PLAIN, SYSTEM, USEFUL, WEIGHTS, Recorded, run


def build(runs: Sequence[Recorded], **options: Any) -> Report:
    return build_report((entry for recorded in runs for entry in recorded), **options)


def rows(report: Report, group: int = 0) -> dict[str, Row]:
    return {
        row.line.text or row.line.segment: row for row in report.groups[group].ledger if not row.line.part
    }


@pytest.fixture(scope="module")
def report() -> Report:
    """A review of eight runs."""
    return build([run(number) for number in range(8)])


def test_the_line_that_matters_is_above_chance_and_the_idle_one_is_a_candidate(report: Report) -> None:
    found = rows(report)
    assert found[USEFUL].above_chance is True
    assert found[USEFUL].influence["tool"].mattered == 1
    assert found[IDLE].above_chance is False
    candidates = [one.row.line.text for one in report.groups[0].dead_weight.candidates]
    assert IDLE in candidates
    assert USEFUL not in candidates


def test_a_line_that_serves_one_kind_of_choice_only_is_no_candidate(report: Report) -> None:
    row = rows(report)[PLAIN]
    assert row.influence["answer"].above_chance is True
    assert row.influence["tool"].above_chance is False
    assert PLAIN not in [one.row.line.text for one in report.groups[0].dead_weight.candidates]


def test_shares_and_tokens_of_segments_add_up(report: Report) -> None:
    group = report.groups[0]
    segments = [row for row in group.ledger if row.is_segment]
    tool = sum(row.influence["tool"].share for row in segments if "tool" in row.influence)
    assert tool == pytest.approx(1.0, abs=1e-6)
    lines = [row for row in group.ledger if not row.is_segment and row.line.segment == "system"]
    assert sum(row.tokens for row in lines) == rows(report)["system"].tokens
    assert rows(report)[IDLE].tokens == len(IDLE.split())


def test_nothing_is_called_removable_before_the_check(report: Report) -> None:
    dead = report.groups[0].dead_weight
    assert dead.tokens is None
    assert dead.removable == []
    assert {one.verdict for one in dead.candidates} == {"not checked"}


def test_a_tool_that_is_never_called_nor_heeded_is_named(report: Report) -> None:
    tools = report.groups[0].tools
    assert tools.calls == {"price": 8, "count": 0}
    assert tools.never_cause == ("count",)
    whole = [one.row.line for one in report.groups[0].dead_weight.candidates if one.row.is_segment]
    assert [line.segment for line in whole] == ["tool_schema:count"]


def test_an_ignored_description_of_an_argument_is_named(report: Report) -> None:
    assert [row.line.text for row in report.groups[0].tools.ignored] == ["Singular name of the item."]


def test_competing_tools_are_found_where_the_others_schema_weighs_as_much() -> None:
    weights = WEIGHTS | {"tool_name": {"tool_schema": 9.0}}
    found = build([run(number, weights=weights) for number in range(3)]).groups[0].tools.rivals
    assert [(pair.called, pair.rival, pair.calls) for pair in found] == [("price", "count", 3)]


def test_a_call_to_an_unknown_tool_is_traced_to_what_suggested_it() -> None:
    weights = {"tool_name": {"user": 60.0}}
    report = build([run(number, weights=weights, called="lamp") for number in range(3)])
    unknown = report.groups[0].tools.unknown
    assert [call.name for call in unknown] == ["lamp"] * 3
    assert unknown[0].sources[0].segment == "user"
    assert unknown[0].sources[0].above_chance
    sentence = next(words.text for words in describe(report).findings if words.text.startswith("lamp"))
    assert "3 times" in sentence
    assert "What does a lamp cost here?" in sentence


def test_arguments_are_traced_to_their_source_and_made_up_ones_are_named(report: Report) -> None:
    given = report.groups[0].arguments[0]
    assert (given.tool, given.argument, given.value) == ("price", "item", "lamp")
    assert (given.source, given.kind) == ("user", "given")
    assert "user" in given.verbatim
    # By chance a segment is above 95 % of windows in one case of twenty, so most must be named.
    flat = build([run(number, weights={}) for number in range(20)]).groups[0].arguments
    assert sum(one.kind == "made up?" for one in flat) >= 12


def test_a_call_that_a_tools_result_decided_is_flagged_with_the_line() -> None:
    recorded = run(1, weights=WEIGHTS | {"answer": {"tool_result": 90.0}})
    step, attributions = recorded.steps[1]
    attribution = attributions[0]
    object.__setattr__(attribution, "target_name", "tool_name")
    assert step.output is not None
    step.output = recorded.steps[0][0].output
    found = build([recorded]).groups[0].untrusted
    assert found[0].flagged
    assert found[0].share > 0.8
    assert found[0].passages[0].text == "35 euros per lamp"
    assert not build([recorded], threshold=0.99).groups[0].untrusted[0].flagged


def test_calls_without_a_result_in_sight_are_not_listed(report: Report) -> None:
    assert report.groups[0].untrusted == ()


def test_reasoning_load_is_half_where_half_of_hop_0_stands_on_the_reasoning(report: Report) -> None:
    loads = {load.kind: load for load in report.groups[0].reasoning}
    # The planted hop has as much on each token of the reasoning as on the whole prompt.
    assert loads["tool"].share is not None
    assert loads["tool"].share > 0.8
    assert loads["tool"].verdict == "hangs on the reasoning"
    assert loads["answer"].verdict == "no reasoning before it"


def test_models_and_settings_are_never_mixed() -> None:
    runs = [run(number) for number in range(4)] + [run(number, model="other") for number in range(4, 7)]
    report = build(runs)
    assert [(group.key.model, len(group.observations)) for group in report.groups] == [
        ("tiny", 8),
        ("other", 6),
    ]
    report = build([run(number) for number in range(4)] + [run(9, hops=3)])
    assert len(report.groups) == 1
    assert report.left_out == {"attributed with other settings than most": 2}


def test_approximate_steps_are_left_out_unless_asked_for() -> None:
    runs = [run(number) for number in range(3)] + [run(9, fidelity="approximate")]
    report = build(runs)
    assert report.left_out == {"approximate token ids": 2}
    assert report.groups[0].traces == 3
    report = build(runs, include_approximate=True)
    assert report.groups[0].traces == 4
    assert any("approximate" in words.text for words in describe(report).findings)


def test_steps_without_attributions_are_counted() -> None:
    recorded = run(3)
    recorded.steps[0] = (recorded.steps[0][0], [])
    assert build([run(1), run(2), recorded]).left_out == {"not attributed yet": 1}


def test_one_trace_is_shown_and_not_judged() -> None:
    report = build([run(1)])
    assert report.groups[0].dead_weight.candidates == ()
    assert all(row.above_chance is None for row in report.groups[0].ledger)
    assert "Verdicts need 3" in describe(report).findings[0].text


def test_two_versions_are_compared_line_by_line() -> None:
    new = SYSTEM.replace(IDLE, "Be brief in all you say.").replace(USEFUL, USEFUL.replace("every", "any"))
    weights = {"tool_name": {PLAIN: 30.0, "user": 6.0}, "argument:item": {"user": 30.0}, "answer": {}}
    first = select(entry for number in range(6) for entry in run(number, prompt_version="v1"))
    second = select(
        entry
        for number in range(6, 12)
        for entry in run(number, system=new, weights=weights, prompt_version="v2", status="error")
    )
    comparison = compare_versions(("v1", "v2"), first, second)
    group = comparison.groups[0]
    states = {(line.before or line.after).text: line for line in group.lines if line.before or line.after}  # type: ignore[union-attr]
    assert states[IDLE].state == "removed"
    assert states["Be brief in all you say."].state == "added"
    assert states[USEFUL].state == "reworded"
    assert states[PLAIN].state == "same"
    change = states[PLAIN].influence["tool"]
    assert change.is_significant
    assert change.after is not None
    assert change.before is not None
    assert change.after > change.before
    assert group.outcomes["traces that ended well"].is_significant
    json.dumps(comparison.to_dict(), allow_nan=False)


def test_conditions_read_the_report(report: Report) -> None:
    assert parse_condition("candidate_tokens > 5").holds(report)
    assert not parse_condition("untrusted > 0.5").holds(report)
    assert parse_condition("unknown_calls = 0").holds(report)
    with pytest.raises(Exception, match="--yes"):
        parse_condition("dead_tokens > 500").holds(report)
    for wrong in ("dead_tokens", "nothing > 1", "untrusted >> 1", "untrusted > much"):
        with pytest.raises(ValueError, match="is no condition"):
            parse_condition(wrong)


def test_a_report_is_json_and_what_a_prompt_says_never_becomes_markup() -> None:
    nasty = "Use <script>alert(1)</script> & | `pipes` when [asked](http://example.test) to."
    report = build([run(number, system=f"{SYSTEM}\n{nasty}") for number in range(3)])
    json.dumps(report.to_dict(), allow_nan=False)
    page = render_html(describe(report))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http-equiv" in page
    text = render_markdown(describe(report))
    assert "\\<script\\>" in text
    assert "\\[asked\\]" in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_gets_whole_numbers_and_verdicts(report: Report, width: int) -> None:
    """What there is no room for is left out as columns, and never cut."""
    console = Console(width=width, file=StringIO())
    for part in render_terminal(describe(report), width):
        console.print(part)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count("not checked") == len(report.groups[0].dead_weight.candidates)
    ledger = printed.partition("Ledger: lines")[2].partition("\nTools")[0]
    (useful,) = [row for row in report.groups[0].ledger if row.line.text == USEFUL]
    line = next(line for line in ledger.splitlines() if USEFUL[:12] in line)
    for share in useful.influence.values():
        assert percent(share.share, 1) in line
    assert line.rstrip().endswith("yes")
