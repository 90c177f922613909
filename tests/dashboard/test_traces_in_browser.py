"""The list, the tree of a trace and the queue in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from flashtrace_agent.store import Store

from .agent_run import Run, build_run
from .browser import Watched, click_row, see_rows, serving, settle
from .conftest import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_new_traces_appear_while_watching(browser: Browser, tmp_path: Path) -> None:
    """With Live on, a run that is recorded now shows up by itself; a filter narrows the list.

    A click means the row that was seen, whatever has come since; a store that was made anew is opened anew.
    """
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [build_run(1)])
    with serving(url) as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(address)
        see_rows(page, 1)
        page.get_by_text("Live", exact=True).click()
        settle(page)
        fill(url, [build_run(2, "sofa")])
        see_rows(page, 2)
        page.get_by_label("Filter", exact=True).fill("tokens > many")
        page.get_by_label("Filter", exact=True).press("Enter")
        expect(page.get_by_text("is no number of tokens").first).to_be_visible()
        watched.shoot("traces-filter-mistake")
        page.get_by_label("Filter", exact=True).fill("text ~ sofas")
        page.get_by_label("Filter", exact=True).press("Enter")
        see_rows(page, 1)
        expect(page).to_have_url(re.compile("where=text"))
        fill(url, [newest := build_run(3, "sofa")])
        click_row(page)
        # Not the one that has come since; the address names the trace a moment before the page is another.
        expect(page).to_have_url(re.compile(f"/trace.*{build_run(2).trace.id}"))
        settle(page)
        page.go_back()  # once: to the list as it was left
        see_rows(page, 2)
        expect(page.get_by_label("Filter", exact=True)).to_have_value("text ~ sofas")
        expect(page).not_to_have_url(re.compile("trace="))
        for part in ("", "-wal", "-shm"):
            Path(f"{tmp_path / 'traces.db'}{part}").unlink(missing_ok=True)
        fill(url, [newest])
        page.get_by_role("button", name="Refresh").click()
        see_rows(page, 1)
        watched.close()


@pytest.mark.parametrize(("scheme", "size"), [("light", "laptop"), ("dark", "laptop"), ("dark", "wide")])
def test_list_in_every_look(browser: Browser, address: str, scheme: str, size: str) -> None:
    """The list and the sessions fit the screen; a session leads to its traces."""
    watched = Watched(browser, scheme, size)
    page = watched.page
    page.goto(address)
    see_rows(page, 3)
    watched.shoot(f"traces-{scheme}-{size}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_text("By session", exact=True).click()
    see_rows(page, 1)
    click_row(page, 80)
    expect(page.get_by_label("Filter", exact=True)).to_have_value("session = 'morning shift'")
    see_rows(page, 3)
    watched.close()


def test_the_tree_of_steps(browser: Browser, address: str, good_run: Run) -> None:
    """Steps fold, are walked by keyboard, and the chosen one is in the address; the download imports."""
    watched = Watched(browser)
    page = watched.page
    page.goto(f"{address}/trace?trace={good_run.trace.id}")
    steps = page.get_by_role("treeitem")
    expect(steps).to_have_count(3)
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("answers")
    settle(page)
    steps.first.locator(".fold").click()
    expect(steps).to_have_count(2)
    steps.first.focus()
    page.keyboard.press("ArrowRight")
    expect(steps).to_have_count(3)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"step={good_run.trace.steps[1].id}"))
    expect(page.get_by_text("Called as").first).to_be_visible()
    settle(page)
    expect(page.get_by_role("treeitem", selected=True)).to_be_focused()
    watched.shoot("trace-tool")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1])["trace"]["id"] == good_run.trace.id
    page.get_by_role("tab", name="Raw").click()
    expect(page.get_by_text("tool_call_id").first).to_be_visible()
    watched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_jobs_in_every_look(
    browser: Browser, tmp_path: Path, good_run: Run, failed_run: Run, scheme: str
) -> None:
    """Queue, worker and failure are on one page, which updates by itself."""
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [good_run, failed_run])
    with serving(url) as address, Store(url) as store:
        store.jobs.enqueue(failed_run.trace.steps[0].id, ["answer"])
        (job,) = store.jobs.lease("host:7")
        store.jobs.fail(job, "Step has no target 'answer': it has reasoning, tool_name.", retry=False)
        store.jobs.enqueue(good_run.trace.steps[0].id)
        watched = Watched(browser, scheme)
        page = watched.page
        page.goto(f"{address}/jobs")
        expect(page.get_by_text("No worker is running").first).to_be_visible()
        expect(page.get_by_text("it has reasoning").first).to_be_visible()
        with store.workers.announced("host:7", beat_s=0.5):
            expect(page.get_by_text("host:7").first).to_be_visible()
            watched.shoot(f"jobs-{scheme}-laptop")
        settle(page)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Nothing waits").first).to_be_visible()
        assert store.jobs.open() == []
        watched.close()
