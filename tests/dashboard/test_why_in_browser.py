"""Choosing what to explain among the generated tokens, and what a segment influenced."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.html import render_html
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import work
from flashtrace_agent.trace import Step

from .agent_run import Run, attribute_like
from .browser import Watched, see_target, see_tokens, serving
from .conftest import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def token(page: Page, position: int) -> Locator:
    """Return the element of a token."""
    return page.locator(f'.ft-body .ft-t[data-pos="{position}"]').first


def position_of(attribution: Attribution, text: str, start: int) -> int:
    """Return the first position from `start` whose token is `text`."""
    return attribution.tokens.index(text, start)


def bring_to_sight(page: Page, text: str) -> None:
    """Scroll the text pane to some words."""
    page.get_by_label("Find in the text").fill(text)
    page.get_by_label("Find in the text").press("Enter")
    page.mouse.move(5, 5)


def test_click_chooses_a_part_and_drag_chooses_tokens(
    browser: Browser, tmp_path: Path, good_run: Run
) -> None:
    """A click on the tool's name explains it; a dragged range is queued, computed by a worker, and shown."""
    step = good_run.trace.steps[0]
    known = good_run.attributions[step.id]
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [good_run])
    (name,) = next(one for one in known if one.target_name == "tool_name").target
    start = position_of(known[0], " customer", len(step.prompt_ids or []))

    def explain(each: Step, job: Job) -> list[Attribution]:
        assert job.targets is not None
        return [attribute_like(known[0], target) for target in job.targets]

    stop = threading.Event()

    def run_worker() -> None:
        with Store(url) as store:
            list(work(store, explain, worker="test:1", stop=stop, watch=True))

    with serving(url) as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(f"{address}/why?trace={good_run.trace.id}&step={step.id}&target=argument:item")
        see_target(page, "argument:item")
        bring_to_sight(page, '"lookup", "arguments": {"item": "lamp')
        token(page, name.start).click()
        see_target(page, "tool_name")
        expect(page).to_have_url(re.compile("target=tool_name"))

        first, last = token(page, start), token(page, start + 2)
        first.hover()
        page.mouse.down()
        last.hover()
        expect(page.locator(".ft-marked")).to_have_count(3)
        watched.shoot("why-drag")
        page.mouse.up()
        expect(page.get_by_text("waits in the queue").first).to_be_visible()
        expect(page.get_by_text("No worker is running").first).to_be_visible()
        expect(page.locator(".ft-pending")).to_have_count(3)
        watched.shoot("why-queued")

        worker = threading.Thread(target=run_worker)
        worker.start()
        try:
            see_target(page, f"{start}:{start + 3}")
        finally:
            stop.set()
            worker.join()
        expect(page.locator(".ft-body .ft-target")).to_have_count(3)
        expect(page.get_by_text("waits in the queue")).to_have_count(0)
        watched.close()


@contextmanager
def waiting(browser: Browser, folder: Path, run: Run) -> Iterator[tuple[Page, Store]]:
    """Show the Why page of tokens that nobody explained, as long as the request for them is in the queue."""
    step = run.trace.steps[0]
    url = f"sqlite:///{folder / 'traces.db'}"
    fill(url, [run])
    with serving(url) as address, Store(url) as store:
        watched = Watched(browser)
        written = len(step.prompt_ids or [])
        target = f"{written + 3}:{written + 5}"
        watched.page.goto(f"{address}/why?trace={run.trace.id}&step={step.id}&target={target}")
        expect(watched.page.get_by_text("waits in the queue").first).to_be_visible()
        assert [job.targets for job in store.jobs.open()] == [(target,)]
        yield watched.page, store
        watched.close()


def test_a_request_is_taken_back(browser: Browser, tmp_path: Path, good_run: Run) -> None:
    """Cancel empties the queue; nothing asks again by itself."""
    with waiting(browser, tmp_path, good_run) as (page, store):
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Explain it").first).to_be_visible()
        page.wait_for_timeout(1500)  # longer than the page waits between two looks
        assert store.jobs.open() == []


def test_an_error_while_waiting_is_a_sentence(browser: Browser, tmp_path: Path, good_run: Run) -> None:
    """Somebody deletes the trace while the page waits for its explanation: no traceback."""
    with waiting(browser, tmp_path, good_run) as (page, store):
        store.delete_trace(good_run.trace.id)
        expect(page.get_by_text("No step").first).to_be_visible()
        expect(page.get_by_text("Traceback")).to_have_count(0)


def test_what_a_segment_influenced(browser: Browser, address: str, good_run: Run) -> None:
    """A click in the prompt lists the targets of all steps that drew on it, and leads to them."""
    watched = Watched(browser)
    page = watched.page
    page.goto(f"{address}/why?trace={good_run.trace.id}&target=argument:item")
    see_tokens(page)
    bring_to_sight(page, "How many lamps")
    page.locator(".ft-t", has_text="lamps").first.click()
    box = page.locator(".ft-influence")
    expect(box).to_contain_text("user")
    expect(box.locator(".ft-row").first).to_contain_text("argument:item")
    expect(box.locator(".ft-row[aria-current=true]")).to_contain_text("step 1 · argument:item")
    watched.shoot("why-reverse")
    box.get_by_role("button", name="step 3 · answer").click()
    see_target(page, "answer")
    expect(page).to_have_url(re.compile(good_run.trace.steps[2].id))
    watched.close()


def test_choosing_by_keyboard(browser: Browser, address: str, good_run: Run) -> None:
    """Shift and the arrows mark generated tokens, Enter asks; in the prompt Enter shows the reverse view."""
    watched = Watched(browser)
    page = watched.page
    step = good_run.trace.steps[0]
    page.goto(f"{address}/why?trace={good_run.trace.id}&step={step.id}&target=argument:item")
    see_tokens(page)
    bring_to_sight(page, "customer asks how many")
    page.locator(".ft-text").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".ft-marked")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(page.locator(".ft-marked")).to_have_count(0)
    page.keyboard.press("Enter")
    see_target(page, "reasoning")
    page.locator(".ft-text").focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("Enter")
    expect(page.locator(".ft-influence")).to_be_visible()
    watched.close()


def big_attribution(n_tokens: int) -> Attribution:
    """Return an attribution of a long prompt, warm in a few places."""
    random = np.random.default_rng(5)
    words = [" the", " lamp", " of", " stock", ".\n", ' {"item":', " 東京", " x"]
    tokens = tuple(words[index] for index in random.integers(0, len(words), n_tokens))
    scores = random.gamma(0.05, 1e-4, n_tokens).astype(np.float32)
    for place in (n_tokens // 10, n_tokens // 2):
        scores[place : place + 40] += random.gamma(1, 1.0, 40).astype(np.float32)
    scores[-20:] = 0
    scores /= scores.sum()
    cuts = [*range(0, n_tokens - 20, 2000), n_tokens - 20]
    segments = [
        Segment(f"tool_result:{number}", Span(a, b), number) for number, (a, b) in enumerate(pairwise(cuts))
    ]
    return Attribution(
        input_ids=np.zeros(n_tokens, dtype=np.int32),
        tokens=tokens,
        target=(Span(n_tokens - 10, n_tokens - 5),),
        through=(),
        scores=scores,
        hops=(Hop(scores, 0.0),),
        method="flashtrace",
        target_name="answer",
        segments=(*segments, Segment("answer", Span(n_tokens - 20, n_tokens), -1)),
    )


def test_a_hundred_thousand_tokens_scroll(browser: Browser, tmp_path: Path) -> None:
    """Only what is near the viewport is in the document; cold lines fold and open again; search finds all."""
    attribution = big_attribution(100_000)
    path = tmp_path / "page.html"
    path.write_text(render_html([attribution]), encoding="utf-8")
    watched = Watched(browser)
    page = watched.page
    page.goto(path.as_uri())
    see_tokens(page)
    strongest = attribution.top(1)[0].position
    expect(token(page, strongest)).to_be_in_viewport()
    folds = page.locator(".ft-fold button")
    expect(folds.first).to_contain_text("lines")
    watched.shoot("why-long-folded")
    before = page.locator(".ft-sheet").evaluate("sheet => sheet.clientHeight")
    folds.first.click()
    assert page.locator(".ft-sheet").evaluate("sheet => sheet.clientHeight") > before

    page.get_by_label("Fold cold lines").uncheck()
    height = page.locator(".ft-sheet").evaluate("sheet => sheet.clientHeight")
    assert height > 100_000
    pane = page.locator(".ft-text")
    seen = set()
    for part in range(11):
        pane.evaluate("(pane, top) => { pane.scrollTop = top; }", height * part / 10)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
        assert page.locator(".ft-t").count() < 3000
        seen.add(page.locator(".ft-body .ft-t").first.get_attribute("data-pos"))
    assert len(seen) == 11
    assert page.locator(f'.ft-t[data-pos="{attribution.n_tokens - 1}"]').is_visible()
    watched.shoot("why-long-end")
    bring_to_sight(page, "東京 lamp of")
    expect(page.locator(".ft-active")).to_have_text(" 東京")
    watched.close()


@pytest.mark.parametrize("size", ["laptop", "wide"])
def test_no_token_is_lost_or_cut(browser: Browser, tmp_path: Path, good_run: Run, size: str) -> None:
    """The lines hold every character once, in order, and none reaches beyond the pane."""
    attribution = good_run.attributions[good_run.trace.steps[0].id][1]
    path = tmp_path / "page.html"
    path.write_text(render_html([attribution]), encoding="utf-8")
    watched = Watched(browser, size=size)
    page = watched.page
    page.goto(path.as_uri())
    page.locator(".ft-main").evaluate("main => { main.style.height = '6000px'; }")
    page.locator(".ft-text").evaluate("pane => { pane.scrollTop = 1; pane.scrollTop = 0; }")
    expect(token(page, attribution.n_tokens - 1).first).to_be_visible()
    drawn = page.locator(".ft-body .ft-t").evaluate_all(
        "spans => spans.map((span) => span.textContent + (span.querySelector('.ft-newline') ? '\\n' : ''))"
    )
    assert "".join(drawn) == "".join(attribution.tokens)
    beyond = page.locator(".ft-body").evaluate_all(
        "bodies => bodies.filter((body) => body.scrollWidth > body.clientWidth + 1).length"
    )
    assert beyond == 0
    watched.close()
