"""The demo's runs, opened in a real Chromium as a new user would."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from playwright.sync_api import Browser, expect

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step

from ..conftest import Demo
from .browser import Watched, bring_into_sight, see_target, serving

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]

QUESTION = "What colour is the sofa?"


def calling_step(store: Store) -> tuple[Step, dict[str, Attribution]]:
    """Return the step that calls a tool which does not exist, and what is known of it."""
    summary = next(trace for trace in store.list_traces() if trace.name == QUESTION)
    step = next(step for step in store.get_trace(summary.id).steps if step.kind == "model")
    return step, {one.target_name: one for one in store.get_attributions(step.id)}


def test_open_a_demo_trace_choose_a_target_and_see_what_caused_it(browser: Browser, demo: Demo) -> None:
    """From the list to the heat map of a tool that does not exist; its hottest token is the recorded one."""
    with Store(demo.store) as store:
        step, recorded = calling_step(store)
    with serving(demo.store) as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(address)
        page.get_by_test_id("stDataFrame").first.wait_for()
        page.goto(f"{address}/trace?trace={step.trace_id}&step={step.id}")
        expect(page.get_by_role("heading", name=QUESTION).first).to_be_visible()
        page.get_by_role("link", name=re.compile("Why this reasoning")).first.wait_for()

        page.goto(f"{address}/why?trace={step.trace_id}&step={step.id}")
        for target in ("argument:", "tool_name"):
            page.get_by_role("radio", name=re.compile(target)).or_(
                page.get_by_role("button", name=re.compile(target))
            ).first.click()
            see_target(page, target)
        hottest = recorded["tool_name"].top(1)[0].position
        token = page.locator(f'.ft-t[data-pos="{hottest}"]').first
        page.locator(".ft-tokens .ft-row").first.click()
        expect(token).to_have_attribute("style", re.compile(r"--heat: 1\b"))
        token.hover()
        expect(page.get_by_role("tooltip").filter(has=page.locator(".ft-tip-text"))).to_contain_text(
            "rank1 of"
        )
        watched.shoot("demo-why")
        watched.close()


def test_drag_over_words_and_a_real_worker_explains_them(browser: Browser, demo: Demo) -> None:
    """Words nobody explained before are queued, computed by the worker command, and light the prompt up."""
    with Store(demo.store) as store:
        step, recorded = calling_step(store)
        start = recorded["reasoning"].target[0].start
    worker = [sys.executable, "-m", "flashtrace_agent", "worker", "--watch", "--store", demo.store]
    with serving(demo.store) as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(f"{address}/why?trace={step.trace_id}&step={step.id}&target=tool_name")
        first, last = (bring_into_sight(page, position) for position in (start + 1, start + 2))
        first.hover()
        page.mouse.down()
        last.hover()
        page.mouse.up()
        expect(page.get_by_text("No worker is running").first).to_be_visible()
        process = subprocess.Popen(worker, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            see_target(page, f"{start + 1}:{start + 3}")
        finally:
            process.terminate()
            process.wait(timeout=60)
        expect(page.locator(".ft-body .ft-target")).to_have_count(2)
        watched.close()
    with Store(demo.store) as store:
        (found,) = (one for one in store.get_attributions(step.id) if one.target_name[:1].isdigit())
        assert found.scores.sum() == pytest.approx(1.0, abs=1e-3)
        assert [job.status for job in store.jobs.of_step(step.id) if job.targets is not None] == ["done"]
