"""The Sankey diagram in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from flashtrace_agent.store import Store

from .agent_run import Run, trajectory_of
from .browser import SIZES, Watched, serving, settle
from .conftest import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_trajectory_in_every_look(browser: Browser, tmp_path: Path, good_run: Run) -> None:
    """Nodes flow from the sources to the target, the two flows differ, a node leads to its step."""
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [good_run])
    with Store(url) as store:
        store.write_trajectory(trajectory_of(good_run))
    with serving(url) as address:
        for scheme, size in (("light", "laptop"), ("dark", "wide")):
            watched = Watched(browser, scheme, size)
            page = watched.page
            page.goto(f"{address}/trajectory?trace={good_run.trace.id}")
            nodes = page.locator(".sankey .node")
            expect(nodes).to_have_count(7)
            expect(page.locator(".sankey .band")).to_have_count(7)
            settle(page)
            target = page.get_by_role("button", name="answer: 100.0 %")
            source = page.get_by_role("button", name="user: 25.0 %")
            boxes = [node.locator("rect").bounding_box() for node in (source, target)]
            assert boxes[0] is not None
            assert boxes[1] is not None
            assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
            assert boxes[0]["height"] == pytest.approx(boxes[1]["height"] / 4, rel=0.05)
            width = SIZES[size][0]
            for index in range(7):
                words = (nodes.nth(index).locator("text").text_content() or "").split()
                assert " ".join(words[:-2]) in (nodes.nth(index).get_attribute("aria-label") or "")
                box = nodes.nth(index).bounding_box()
                assert box is not None
                assert 0 <= box["x"] <= box["x"] + box["width"] <= width
            watched.shoot(f"trajectory-{scheme}-{size}")
            page.get_by_label("Why the tools were called").check()
            expect(page.locator(".sankey .band")).to_have_count(6)
            page.get_by_role("button", name="tool_call:lookup").focus()
            page.keyboard.press("Enter")
            expect(page).to_have_url(re.compile(f"/trace.*step={good_run.trace.steps[0].id}"))
            watched.close()
