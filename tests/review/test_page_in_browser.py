"""The review as a page and in the dashboard, in a real headless Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.review import build_report
from flashtrace_agent.review.describe import describe
from flashtrace_agent.review.render_html import render_html
from flashtrace_agent.review.request import LineCheck
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import work
from flashtrace_agent.trace import Step

from ..dashboard.browser import Watched, click_row, serving, settle
from .prompts import IDLE, PLAIN, run, write
from .proving import prove_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_stands_alone(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """It asks nothing of the network, runs no script, and fits a laptop's width."""
    nasty = "Use <img src=http://example.test/x.png> when asked to do so."
    runs = [run(number, system=f"{PLAIN}\n{IDLE}\n{nasty}") for number in range(4)]
    path = tmp_path / "review.html"
    path.write_text(render_html(describe(build_report(entry for one in runs for entry in one))))
    watched = Watched(browser, scheme)
    page = watched.page
    page.goto(path.as_uri())
    expect(page.get_by_role("heading", name="Dead weight").first).to_be_visible()
    expect(page.get_by_text(nasty).first).to_be_visible()
    assert page.locator("svg.stack rect").count() > 6
    assert page.locator("svg .chance").count() > 6
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    watched.shoot(f"review-page-{scheme}")
    watched.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over runs of two prompt versions."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'traces.db'}"
    with Store(url) as store:
        for number in range(8):
            write(store, run(number, prompt_version="v1" if number < 4 else "v2"))
    with serving(url) as served:
        yield served


def test_the_dashboards_review_leads_from_a_line_to_why(browser: Browser, address: str) -> None:
    watched = Watched(browser)
    page = watched.page
    page.goto(f"{address}/review")
    expect(page.get_by_text("not above chance").first).to_be_visible()
    settle(page)
    page.get_by_role("tab", name="Ledger: lines").click()
    table = page.locator("[data-testid=stDataFrame]:visible").first
    expect(table).to_be_visible()
    watched.shoot("review-dashboard")
    click_row(page)
    expect(page.get_by_text("mattered most").last).to_be_visible()
    settle(page)
    page.get_by_test_id("stPageLink").first.click()
    page.wait_for_url("**/why?**")
    expect(page.get_by_text("Why:").first).to_be_visible()
    watched.close()


def test_the_dashboards_review_compares_versions(browser: Browser, address: str) -> None:
    watched = Watched(browser)
    page = watched.page
    page.goto(f"{address}/review")
    for label, version in (("Prompt version", "v2"), ("Compared with", "v1")):
        box = page.get_by_role("combobox", name=label)
        expect(box).to_be_enabled()
        box.fill(version)
        page.get_by_role("option", name=version, exact=True).click()
        expect(box).to_have_value(version)
    expect(page.get_by_role("tab", name="v1 → v2").first).to_be_visible()
    watched.shoot("review-compare")
    watched.close()


def test_the_check_is_queued_with_its_cost_and_its_result_appears(browser: Browser, tmp_path: Path) -> None:
    """The cost stands beside the button; a worker takes the job; what it found is there without a reload."""
    url = f"sqlite:///{tmp_path / 'traces.db'}"

    def check(step: Step, job: Job) -> list[Attribution]:
        assert job.review is not None
        asked = LineCheck.from_dict(job.review)
        group = build_report(store.attributed_steps(last=asked.last)).groups[0]
        assert group.key == asked.group
        prove_all(store, group, asked.sample)
        return []

    with Store(url) as store:
        for number in range(4):
            write(store, run(number))
        with serving(url) as address:
            watched = Watched(browser)
            page = watched.page
            page.goto(f"{address}/review")
            expect(page.get_by_text("The check of 2 lines runs tiny").first).to_be_visible()
            settle(page)
            assert store.jobs.open() == []
            page.get_by_role("button", name="Run the check").click()
            expect(page.get_by_text("waits in the queue").first).to_be_visible()
            expect(page.get_by_text("No worker is running").first).to_be_visible()
            watched.shoot("review-check-queued")
            worker = threading.Thread(
                target=lambda: list(work(store, check, worker="test:1", stop=threading.Event(), watch=False))
            )
            worker.start()
            expect(page.get_by_text("1 line can go").first).to_be_visible()
            worker.join()
            expect(page.get_by_role("button", name="Run the check")).to_have_count(0)
            watched.shoot("review-checked")
            watched.close()
