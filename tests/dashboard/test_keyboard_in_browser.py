"""Every page by keyboard alone: what the tab key comes by, in which order, and the main use of each page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from flashtrace_agent.store import Store

from ..review.prompts import run, write
from .agent_run import Run, build_run, trajectory_of
from .browser import Watched, see_rows, see_target, see_tokens, serving, settle
from .conftest import fill
from .keyboard import walk

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, good_run: Run, failed_run: Run) -> Iterator[str]:
    """The address of a dashboard with something on every page."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'traces.db'}"
    fill(url, [build_run(1), failed_run, good_run])
    with Store(url) as store:
        store.write_trajectory(trajectory_of(good_run))
        store.jobs.enqueue(failed_run.trace.steps[0].id, ["answer"])
        (job,) = store.jobs.lease("host:7")
        store.jobs.fail(job, "Step has no target 'answer'.", retry=False)
        store.jobs.enqueue(good_run.trace.steps[0].id)
        for number in range(4):
            write(store, run(number))
    with serving(url) as served:
        yield served


@dataclass(frozen=True)
class Asked:
    """A page, what shows that it is drawn, and what the tab key must come by, in this order."""

    path: str
    drawn: str
    order: tuple[str, ...]


PAGES = {
    "traces": Asked("", "canvas", ("By session", "Live", "Filter", "errors", "canvas")),
    "trace": Asked(
        "trace?trace={trace}&step={step}",
        "[role=treeitem]",
        ("arrow_downward", "treeitem", "tab Conversation", "local_fire_department"),
    ),
    "why": Asked(
        "why?trace={trace}&target=argument:item",
        ".ft-t",
        ("Step", "radio", "Hop", "Contrast", "Fold cold lines", "Find", "group Tokens", "button example:1"),
    ),
    "empty": Asked("why?trace={failed}", "pre", ("Step", "radio", "play_arrow")),
    "trajectory": Asked(
        "trajectory?trace={trace}",
        ".node",
        ("Traced back", "Whose words", "button answer", "tool_schema:lookup", "canvas"),
    ),
    "compare": Asked(
        "compare?a={other}&b={trace}", "canvas", ("radio Two traces", "Trace A", "Trace B", "radio", "canvas")
    ),
    "jobs": Asked("jobs", ".stMetric", ("close", "refresh", "refresh", "delete", "Count what")),
    "review": Asked("review", "[role=tab]", ("download", "Filter", "science", "tab ", "canvas")),
}


@pytest.mark.parametrize("name", PAGES)
def test_every_control_is_reached_in_order_and_seen(
    browser: Browser, address: str, good_run: Run, failed_run: Run, name: str
) -> None:
    """The tab key comes from the menu to the last control, from above to below; the focus is seen."""
    asked = PAGES[name]
    watched = Watched(browser)
    page = watched.page
    path = asked.path.format(
        trace=good_run.trace.id,
        step=good_run.trace.steps[0].id,
        failed=failed_run.trace.id,
        other=build_run(1).trace.id,
    )
    page.goto(f"{address}/{path}")
    expect(page.locator(asked.drawn).first).to_be_attached()
    settle(page)
    found = walk(page)
    assert found.stops[0].startswith("a Skip to main content")
    rest = iter(found.stops)
    for wanted in asked.order:
        assert any(wanted in stop for stop in rest), (wanted, found.stops)
    assert found.unseen == []
    assert found.missed == []
    watched.close()


def press(page: Page, *keys: str) -> None:
    """Press keys one after the other."""
    for key in keys:
        page.keyboard.press(key)


def test_a_trace_is_opened_and_asked_about_by_keyboard(browser: Browser, address: str) -> None:
    """Coming by the list opens nothing; Shift and space open the second run, Enter on a link asks why."""
    watched = Watched(browser)
    page = watched.page
    page.goto(address)
    see_rows(page, 7)
    page.get_by_role("button", name="Fullscreen").focus()
    press(page, "Tab", "ArrowDown")
    page.wait_for_timeout(1000)  # longer than the table waits before it says what is chosen
    expect(page).to_have_url(re.compile(r"/$"))
    press(page, "Shift+Space")
    expect(page.get_by_role("treeitem").first).to_be_visible()
    settle(page)
    page.get_by_role("link", name="Why this answer?").focus()
    press(page, "Enter")
    see_target(page, "answer")
    watched.close()


def test_the_heat_map_by_keyboard(browser: Browser, address: str, good_run: Run) -> None:
    """The focus is never lost: into a segment's influence and back, to its targets, through the text."""
    watched = Watched(browser)
    page = watched.page
    page.goto(f"{address}/why?trace={good_run.trace.id}&target=argument:item")
    see_tokens(page)
    row = page.locator(".ft-segments .ft-row", has_text="user")
    row.focus()
    press(page, "Enter")
    expect(page.locator(".ft-close")).to_be_focused()
    press(page, "Enter")
    expect(page.locator(".ft-influence")).to_have_count(0)
    expect(row).to_be_focused()
    press(page, "Enter", "Tab", "Tab", "Enter")
    expect(page).not_to_have_url(re.compile("argument:item"))
    settle(page)
    expect(page.locator(".ft-text")).to_be_focused()
    press(page, "End")
    expect(page.get_by_role("tooltip").filter(has=page.locator(".ft-tip-text"))).to_be_visible()
    press(page, "Home")
    expect(page.locator('.ft-active[data-pos="0"]')).to_be_visible()
    watched.close()


def test_the_diagram_and_the_queue_by_keyboard(browser: Browser, address: str, good_run: Run) -> None:
    """Space on a node goes to its step; Enter on a button of the queue does what it says."""
    watched = Watched(browser)
    page = watched.page
    page.goto(f"{address}/trajectory?trace={good_run.trace.id}")
    page.get_by_role("button", name="tool_call:lookup").focus()
    press(page, "Space")
    expect(page).to_have_url(re.compile(f"/trace.*step={good_run.trace.steps[0].id}"))
    steps = page.get_by_role("treeitem")
    expect(steps).to_have_count(3)
    settle(page)
    press(page, "ArrowDown")
    page.get_by_role("treeitem", selected=True).focus()
    press(page, "ArrowDown", "Enter")
    expect(page.get_by_text("Called as").first).to_be_visible()
    settle(page)
    press(page, "ArrowLeft", "ArrowLeft")  # to the step it belongs to, and fold that
    expect(steps).to_have_count(2)
    expect(steps.first).to_have_attribute("tabindex", "0")
    page.goto(f"{address}/jobs")
    page.get_by_role("button", name="Cancel").focus()
    press(page, "Enter")
    expect(page.get_by_text("Nothing waits").first).to_be_visible()
    watched.close()
