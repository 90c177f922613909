"""The review as a page and in the dashboard, in a real headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from flashtrace_agent.review import build_report
from flashtrace_agent.review.describe import describe
from flashtrace_agent.review.render_html import render_html
from flashtrace_agent.store import Store

from ..dashboard.browser import ARGUMENTS, SCREENSHOTS, chromium, serving
from .prompts import IDLE, PLAIN, run

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield started
        started.close()


def shoot(page: Page, name: str) -> None:
    """Keep a screenshot."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_stands_alone(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """It asks nothing of the network, runs no script, and fits a laptop's width."""
    nasty = "Use <img src=http://example.test/x.png> when asked to do so."
    runs = [run(number, system=f"{PLAIN}\n{IDLE}\n{nasty}") for number in range(4)]
    path = tmp_path / "review.html"
    path.write_text(render_html(describe(build_report(entry for one in runs for entry in one))))
    page = browser.new_page(
        viewport={"width": 1280, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    expect(page.get_by_role("heading", name="Dead weight")).to_be_visible()
    expect(page.get_by_text(nasty).first).to_be_visible()
    assert page.locator("svg.stack rect").count() > 6
    assert page.locator("svg .chance").count() > 6
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    shoot(page, f"review-page-{scheme}")
    page.close()
    assert asked == [path.as_uri()]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over runs of two prompt versions."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'traces.db'}"
    with Store(url) as store:
        for number in range(8):
            recorded = run(number, prompt_version="v1" if number < 4 else "v2")
            store.write_trace(recorded.trace)
            for step, attributions in recorded.steps:
                store.write_step(step)
                for attribution in attributions:
                    store.write_attribution(step.id, attribution)
    with serving(url) as served:
        yield served


def test_the_dashboards_review_leads_from_a_line_to_why(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address.rstrip('/')}/review")
    expect(page.get_by_text("not above chance").first).to_be_visible()
    page.get_by_role("tab", name="Ledger: lines").click()
    table = page.locator("[data-testid=stDataFrame]:visible").first
    expect(table).to_be_visible()
    shoot(page, "review-dashboard")
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 200, box["y"] + 55)
    expect(page.get_by_text("mattered most").last).to_be_visible()
    page.get_by_test_id("stPageLink").first.click()
    page.wait_for_url("**/why?**")
    expect(page.get_by_text("Why:").first).to_be_visible()
    page.close()


def test_the_dashboards_review_compares_versions(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address.rstrip('/')}/review")
    page.get_by_label("Compare version").fill("v1")
    page.get_by_label("Compare version").press("Enter")
    page.get_by_label("Prompt version").fill("v2")
    page.get_by_label("Prompt version").press("Enter")
    expect(page.get_by_role("tab", name="v1 → v2")).to_be_visible()
    shoot(page, "review-compare")
    page.close()
