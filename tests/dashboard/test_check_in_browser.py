"""Asking from the Why page whether an explanation holds."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.check import judge
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import work
from flashtrace_agent.trace import Step

from .agent_run import Run
from .browser import Watched, see_tokens, serving
from .conftest import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_check_is_asked_for_and_its_word_shown(browser: Browser, tmp_path: Path, good_run: Run) -> None:
    """The button queues a check; when a worker has run it, the page shows the word without a reload."""
    step = good_run.trace.steps[0]
    known = good_run.attributions[step.id]
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [good_run])

    def check(each: Step, job: Job) -> list[Attribution]:
        assert job.check
        assert job.targets == ("tool_name",)
        finding = judge("tokens", 5, 50, "target", 4.0, (0.1, 0.2, 0.3))
        return [replace(one, checked=finding) for one in known if one.target_name == "tool_name"]

    with serving(url) as address, Store(url) as store:
        watched = Watched(browser)
        page = watched.page
        page.goto(f"{address}/why?trace={good_run.trace.id}&step={step.id}&target=tool_name")
        see_tokens(page)
        page.get_by_role("button", name="Check").click()
        expect(page.get_by_text("Checking …").first).to_be_visible()
        worker = threading.Thread(
            target=lambda: list(work(store, check, worker="test:1", stop=threading.Event(), watch=False))
        )
        worker.start()
        expect(page.get_by_text("check: strong").first).to_be_visible()
        worker.join()
        expect(page.get_by_role("button", name="Check")).to_have_count(0)
        watched.shoot("why-checked")
        watched.close()
