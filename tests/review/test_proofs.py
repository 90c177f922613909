"""What re-runs showed is kept, shown again without a model, and goes stale with what it depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flashtrace_agent.review import build_report
from flashtrace_agent.review.describe import describe
from flashtrace_agent.review.line_check import check_lines
from flashtrace_agent.review.proofs import Proofs
from flashtrace_agent.review.report import GroupReport, Report
from flashtrace_agent.store import Store

from .prompts import IDLE, SYSTEM, run, write
from .proving import passing, prove_all

SAMPLE = 2


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """An empty store."""
    with Store(f"sqlite:///{tmp_path / 'traces.db'}") as opened:
        yield opened


def review(store: Store, sample: int = SAMPLE) -> Report:
    """Review all there is, with what earlier checks showed."""
    return build_report(store.attributed_steps()).with_proofs(store, sample)


def check(store: Store, sample: int = SAMPLE) -> GroupReport:
    """Check every candidate and keep what is found."""
    report = review(store, sample)
    return report.with_dead_weight(0, prove_all(store, report.groups[0], sample)).groups[0]


def verdicts(report: Report) -> dict[str, str]:
    """Return each candidate's verdict."""
    return {
        one.row.line.text or one.row.line.segment: one.verdict
        for one in report.groups[0].dead_weight.candidates
    }


def test_a_later_review_shows_what_an_earlier_check_found(store: Store) -> None:
    for number in range(4):
        write(store, run(number))
    assert set(verdicts(review(store)).values()) == {"not checked"}
    checked = check(store).dead_weight
    shown = review(store)
    assert shown.groups[0].dead_weight == checked
    assert shown.groups[0].dead_weight.is_checked
    assert verdicts(shown)[IDLE] == "removable"
    assert shown.groups[0].dead_weight.kept
    assert any("can go" in finding.text for finding in describe(shown).findings)


def test_more_runs_of_the_same_prompt_leave_the_proof_as_it_is(store: Store) -> None:
    for number in range(4):
        write(store, run(number))
    check(store)
    write(store, run(4))
    assert verdicts(review(store))[IDLE] == "removable"


def test_reviews_of_other_selections_do_not_take_each_others_proofs_away(store: Store) -> None:
    for number in range(6):
        write(store, run(number))
    check(store)
    newest = build_report(store.attributed_steps(last=6))
    assert not newest.with_proofs(store, SAMPLE).groups[0].dead_weight.is_checked
    prove_all(store, newest.groups[0], SAMPLE)
    assert newest.with_proofs(store, SAMPLE).groups[0].dead_weight.is_checked
    assert review(store).groups[0].dead_weight.is_checked


@pytest.mark.parametrize("change", ["prompt", "model", "sample", "deleted", "ids"])
def test_a_proof_goes_stale_with_what_it_depends_on(store: Store, change: str) -> None:
    """A line of the prompt edited, another model, more steps asked for, steps deleted or tokenized anew."""
    runs = [run(number) for number in range(4)]
    for recorded in runs:
        write(store, recorded)
    check(store)
    sample = SAMPLE
    if change == "prompt":
        write(store, run(5, system=SYSTEM.replace("small", "large")))
    elif change == "model":
        for recorded in runs:
            store.delete_trace(recorded.trace.id)
        for number in range(4):
            write(store, run(number, model="other"))
    elif change == "sample":
        sample = 4
    elif change == "deleted":
        for recorded in runs[:2]:
            store.delete_trace(recorded.trace.id)
        for number in range(5, 8):
            write(store, run(number))
    else:
        for recorded in runs:
            for step, _ in recorded.steps:
                step.completion_ids = [token + 1 for token in step.completion_ids or []]
                store.write_step(step)
    assert set(verdicts(review(store, sample)).values()) == {"not checked"}


def test_a_check_that_was_cut_off_goes_on_where_it_stopped(store: Store) -> None:
    """What all lines do together is not known yet, so nothing is called removable as a whole."""
    for number in range(4):
        write(store, run(number))
    report = review(store)
    group = report.groups[0]
    proofs = Proofs(store, group.key.model, group.observations)
    for candidate in group.dead_weight.candidates:
        line = candidate.row.line
        found = check_lines(group.dead_weight, group.observations, SAMPLE, passing)
        ablation = next(one.ablation for one in found.candidates if one.row.line == line)
        assert ablation is not None
        proofs.keep([line], ablation)
    dead = review(store).groups[0].dead_weight
    assert not dead.unchecked
    assert not dead.is_checked
    assert dead.tokens is None


def test_a_deleted_trace_takes_its_words_out_of_the_proofs(store: Store) -> None:
    """The actions a proof holds are what the trace said."""
    for number in range(4):
        write(store, run(number))
    check(store)
    assert store.describe()["rows"]["ablations"] > 0
    for summary in store.list_traces():
        store.delete_trace(summary.id)
    assert store.describe()["rows"]["ablations"] == 0
    assert store.check() == []
