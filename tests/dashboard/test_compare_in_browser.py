"""Two traces side by side in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from .agent_run import Run, build_run
from .browser import Watched, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(("scheme", "size"), [("light", "laptop"), ("dark", "wide")])
def test_compare_in_every_look(browser: Browser, address: str, good_run: Run, scheme: str, size: str) -> None:
    """The tables fit; choosing another target changes them."""
    watched = Watched(browser, scheme, size)
    page = watched.page
    page.goto(f"{address}/compare?a={build_run(1).trace.id}&b={good_run.trace.id}")
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    expect(page.get_by_text("1 and 1 attributions").first).to_be_visible()
    watched.shoot(f"compare-{scheme}-{size}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    target = page.get_by_role("radio", name="tool_name").or_(page.get_by_role("button", name="tool_name"))
    target.first.click()
    expect(target.first).to_have_attribute("aria-checked", "true")
    expect(page.get_by_text("1 and 1 attributions").first).to_be_visible()
    settle(page)
    page.get_by_text("Two prompt versions").click()
    expect(page.get_by_text("no two prompt versions").first).to_be_visible()
    settle(page)
    page.go_back()  # once: to the two traces, and not to the versions again
    expect(page.get_by_text("1 and 1 attributions").first).to_be_visible()
    assert build_run(1).trace.id in page.url
    watched.close()
