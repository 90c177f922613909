"""The demo's own store reviewed: a line of its prompt that can go, proved by running the model without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from flashtrace_agent.review import build_report
from flashtrace_agent.review.request import LineCheck
from flashtrace_agent.review.selection import GroupKey
from flashtrace_agent.store import Store

from ..conftest import Demo, command
from ..dashboard.browser import Watched

pytestmark = [pytest.mark.model, pytest.mark.slow]

NOTE = "Keep these notes in step with the web site."


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the review's page is written."""
    return tmp_path_factory.mktemp("review") / "review.html"


@pytest.fixture(scope="module")
def report(demo: Demo, page: Path) -> dict[str, Any]:
    """The review of the demo's store, with the check on a few steps."""
    outcome = command(
        "review", "--store", demo.store, "--yes", "--sample", "3", "--html", str(page), "--json"
    )
    assert outcome.returncode == 0, outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_a_line_of_the_demos_prompt_can_go_and_the_re_run_proves_it(report: dict[str, Any]) -> None:
    dead = report["groups"][0]["dead_weight"]
    assert dead["checked"]
    by_text = {candidate["text"]: candidate for candidate in dead["candidates"]}
    note = by_text[NOTE]
    assert note["verdict"] == "removable"
    assert note["check"]["changed"] == 0
    assert len(note["check"]["steps"]) == 3
    assert note["check"]["tokens"] >= 8
    assert dead["tokens"] >= 8


def test_what_the_model_needs_is_kept_though_attribution_finds_no_use_for_it(report: dict[str, Any]) -> None:
    verdicts = {
        candidate["text"] or candidate["segment"]: candidate["verdict"]
        for candidate in report["groups"][0]["dead_weight"]["candidates"]
    }
    assert verdicts["example:1"] == "needed"


def test_the_calls_to_tools_that_do_not_exist_are_explained(report: dict[str, Any]) -> None:
    """Asked for a sofa's colour, the model calls a tool named `sofa`: the user's own word."""
    sofa = next(call for call in report["groups"][0]["tools"]["unknown_calls"] if call["name"] == "sofa")
    assert sofa["sources"][0]["segment"] == "user"
    assert "colour" in sofa["sources"][0]["text"]
    assert sofa["sources"][0]["above_chance"]


def test_a_later_review_shows_the_proof_without_the_model(report: dict[str, Any], demo: Demo) -> None:
    again = command("review", "--store", demo.store, "--sample", "3", "--json")
    assert again.returncode == 0, again.stderr
    assert "runs smollm2" not in again.stderr
    assert json.loads(again.stdout)["groups"][0]["dead_weight"] == report["groups"][0]["dead_weight"]


def test_a_worker_runs_the_check_that_a_page_asked_for(report: dict[str, Any], demo: Demo) -> None:
    """Of fewer runs nothing is proved yet; the worker command loads the model and proves it."""
    key = GroupKey(*(report["groups"][0][name] for name in GroupKey._fields))
    check = LineCheck(None, None, 8, False, 1, key)
    with Store(demo.store) as store:
        reviewed = build_report(store.attributed_steps(last=check.last))
        group = reviewed.groups[0]
        assert not reviewed.with_proofs(store, 1).groups[0].dead_weight.is_checked
        job = store.jobs.enqueue_review(group.observations[0].step.id, check.to_dict())
        outcome = command("worker", "--store", demo.store)
        assert outcome.returncode == 0, outcome.stderr
        state = store.jobs.get(job)
        assert state is not None
        assert (state.status, state.error) == ("done", None)
        assert reviewed.with_proofs(store, 1).groups[0].dead_weight.is_checked


@pytest.mark.browser
def test_the_page_of_the_real_run_is_drawn(browser: Browser, report: dict[str, Any], page: Path) -> None:
    """It names the line that can go, and explains the calls to unknown tools."""
    watched = Watched(browser)
    watched.page.goto(page.as_uri())
    assert watched.page.get_by_text(NOTE).count() >= 2
    heading = watched.page.get_by_role("heading", name="Calls to tools that do not exist")
    expect(watched.page.locator("section", has=heading)).to_contain_text("sofa")
    watched.shoot("review-demo")
    watched.close()
