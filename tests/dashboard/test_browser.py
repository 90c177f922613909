"""The dashboard and the standalone page in a real headless Chromium, with screenshots kept."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from flashtrace_agent.html import render_html
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.store import Store

from .agent_run import Run, build_run, trajectory_of
from .browser import (
    Watched,
    bring_into_sight,
    click_row,
    contrast,
    heat,
    hottest,
    see_rows,
    see_target,
    see_tokens,
    serving,
    settle,
)
from .conftest import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_from_the_list_to_why(browser: Browser, address: str, good_run: Run) -> None:
    """Open the list, a trace, ask why an argument is what it is, and read the heat map."""
    watched = Watched(browser)
    page = watched.page
    page.goto(address)
    see_rows(page, 3)
    watched.shoot("traces")
    click_row(page, 240)
    expect(page.get_by_text("There are 12 lamps left in stock.").first).to_be_visible()
    expect(page).to_have_url(re.compile(f"trace={good_run.trace.id}"))

    settle(page)
    page.get_by_role("treeitem", name="calls lookup").click()
    page.get_by_role("link", name="Why this item?").first.click()
    see_tokens(page)
    query = parse_qs(urlsplit(page.url).query)
    assert query["target"] == ["argument:item"]

    position = hottest(good_run, 0, "argument:item")
    assert heat(page, position) == 1.0
    expect(page.locator(".ft-body .ft-target")).to_have_text(["lamp"])
    expect(page.locator(".ft-ranking:not(.ft-tokens) .ft-row").first).to_contain_text("%")
    expect(page.locator(".ft-facts .ft-fidelity")).to_contain_text("exact")

    page.locator(".ft-tokens .ft-row").first.click()
    token = page.locator(f'.ft-t[data-pos="{position}"]').first
    expect(token).to_be_in_viewport()
    page.mouse.move(5, 5)
    token.hover()
    tip = page.get_by_role("tooltip").filter(has=page.locator(".ft-tip-text"))
    expect(tip).to_contain_text(f"position{position}")
    expect(tip).to_contain_text("rank1 of")
    watched.shoot("why-tooltip")
    watched.close()


def test_choosing_target_and_hop_changes_the_picture(browser: Browser, address: str, good_run: Run) -> None:
    """Another target or hop lights up other tokens; the hop says what stayed on the reasoning."""
    watched = Watched(browser)
    page = watched.page
    page.goto(f"{address}/why?trace={good_run.trace.id}&target=argument:item")
    see_tokens(page)
    before = page.locator(".ft-side").inner_text()
    page.get_by_role("radio", name="argument:field").or_(
        page.get_by_role("button", name="argument:field")
    ).first.click()
    see_target(page, "argument:field")
    assert page.locator(".ft-side").inner_text() != before
    assert heat(page, hottest(good_run, 0, "argument:field")) == 1.0

    page.locator(".ft-hop").fill("0")
    expect(page.locator(".ft-hop-name")).to_have_text("Hop 0")
    expect(page.locator(".ft-remaining")).to_contain_text("46.0 %")
    # Hop 0 still has the reasoning's own tokens, which the final score has passed on.
    expect(page.locator(".ft-ranking .ft-row").first).to_contain_text("reasoning")
    watched.shoot("why-hop")
    watched.close()


READ = (
    "[data-testid=stCaptionContainer] p",
    "[data-testid=stBaseButton-primary] p",
    "[data-selected=true] p",
    ".token.string",
    ".token.parameter",
)
"""Words in the colours that Streamlit has too pale, which the theme and the style mend."""

# Text that is not all seen, and headings that leave a level out.
CUT = """() => [...document.querySelectorAll("pre, [data-testid=stButtonGroup]")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.innerText)"""
SKIPPED = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .map((each) => Number(each.localName[1]))
  .filter((level, index, levels) => index && level > levels[index - 1] + 1)"""


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", "laptop"), ("dark", "laptop"), ("light", "phone"), ("dark", "wide")]
)
def test_every_page_in_every_look(
    browser: Browser, address: str, good_run: Run, failed_run: Run, scheme: str, size: str
) -> None:
    """Pages fit a phone, a laptop and a wide screen, and can be read, light and dark."""
    watched = Watched(browser, scheme, size)
    page = watched.page
    pages = {
        "trace": f"trace?trace={good_run.trace.id}&step={good_run.trace.steps[0].id}",
        "error": f"trace?trace={failed_run.trace.id}",
        "empty": f"why?trace={failed_run.trace.id}",
        "queue": "jobs",
        "why": f"why?trace={good_run.trace.id}&target=reasoning",
    }
    for name, path in pages.items():
        page.goto(f"{address}/{path}")
        heading = "Jobs and health" if name == "queue" else "warehouse agent"
        expect(page.get_by_role("heading", name=heading).first).to_be_visible()
        expect(page).to_have_title(re.compile(r"\w+ · flashtrace-agent"))
        if name == "why":
            see_tokens(page)
        watched.shoot(f"{name}-{scheme}-{size}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate(CUT) == []
        assert page.evaluate(SKIPPED) == []
        for words in READ:
            for found in page.locator(f"{words}:visible").all()[:2]:
                assert contrast(found) >= 4.5, (name, found.inner_text())
    assert contrast_at_full_heat(page) >= 4.5
    name, lines = page.locator(".ft-fact-value").first, page.locator(".ft-fact-more").first
    assert name.bounding_box()["height"] < 2 * lines.bounding_box()["height"]  # type: ignore[index]
    watched.close()


def contrast_at_full_heat(page: Page) -> float:
    """Return the contrast of the strongest token."""
    return contrast(page.locator('.ft-body .ft-t[style*="--heat: 1.000"]').first)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_standalone_page(browser: Browser, good_run: Run, tmp_path: Path, scheme: str) -> None:
    """The saved page works from a file: choose a target by keyboard, walk the tokens, read the tip."""
    path = tmp_path / "page.html"
    attributions = good_run.attributions[good_run.trace.steps[0].id]
    path.write_text(render_html(attributions, "Why did the agent look up the lamp?"), encoding="utf-8")
    watched = Watched(browser, scheme)
    page = watched.page
    page.goto(path.as_uri())
    select = page.get_by_label("Target")
    select.focus()
    page.keyboard.press("ArrowDown")
    see_target(page, "tool_name")
    expect(select).to_be_focused()

    page.locator(".ft-text").focus()
    page.keyboard.press("PageDown")
    tip = page.get_by_role("tooltip")
    expect(tip).to_contain_text("rank1 of")
    expect(tip).to_contain_text(f"position{hottest(good_run, 0, 'tool_name')}")
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text(f"position{hottest(good_run, 0, 'tool_name') + 1}")
    watched.shoot(f"page-{scheme}")

    faint = attributions[1].top(200)[-1].position
    before = heat(page, faint)
    page.get_by_label("Contrast").fill("100")
    assert heat(page, faint) > before
    bring_into_sight(page, hottest(good_run, 0, "tool_name"))
    assert contrast_at_full_heat(page) >= 4.5
    watched.close()


def test_hostile_tokens_stay_text(browser: Browser, tmp_path: Path, good_run: Run) -> None:
    """Markup in tokens is shown as it stands and runs nothing."""
    from dataclasses import replace

    original = good_run.attributions[good_run.trace.steps[0].id][1]
    tokens = list(original.tokens)
    tokens[5], tokens[6], tokens[7] = "</script>", "<img src=x onerror=document.title='x'>", "\u202eevil"
    path = tmp_path / "page.html"
    path.write_text(render_html([replace(original, tokens=tuple(tokens))], "<b>Title</b>"), encoding="utf-8")
    watched = Watched(browser)
    page = watched.page
    page.goto(path.as_uri())
    bring_into_sight(page, 5)
    expect(page.locator('.ft-t[data-pos="5"]')).to_have_text("</script>")
    expect(page.locator('.ft-t[data-pos="6"]')).to_have_text(tokens[6])
    expect(page.locator('.ft-t[data-pos="7"]')).to_have_text("⟨U+202E⟩evil")
    assert page.locator("img").count() == 0
    assert page.title() == "<b>Title</b>"
    watched.close()


ODD = {
    "": "⟨⟩",
    "\u200b": "⟨U+200B⟩",
    "\u200d": "⟨U+200D⟩",
    "\U000e0041": "⟨U+E0041⟩",
    "\u0301": "◌\u0301",
    "👩\u200d🔬": "👩\u200d🔬",
    "می\u200cخواهم": "می\u200cخواهم",
    "İİİ ß": "İİİ ß",
    "x" * 500: "x" * 500,
    "\ufffd": "\ufffd",
}
"""What odd tokens are shown as."""


def test_odd_tokens_have_a_width_and_are_found(browser: Browser, tmp_path: Path, good_run: Run) -> None:
    """Zero-width, combining, invisible, right-to-left and long ones: each can be pointed at."""
    from dataclasses import replace

    original = good_run.attributions[good_run.trace.steps[0].id][1]
    start = 20
    tokens = [*original.tokens[:start], *ODD, *original.tokens[start + len(ODD) :]]
    path = tmp_path / "page.html"
    odd = replace(original, tokens=tuple(tokens), target_name="x" * 10_000)
    path.write_text(render_html([odd], "\u202eodd"), encoding="utf-8")
    watched = Watched(browser)
    page = watched.page
    page.goto(path.as_uri())
    expect(page.locator(".ft-text")).to_be_in_viewport(ratio=0.5)  # not pushed away by the target's name
    for position, shown in enumerate(ODD.values(), start):
        pieces = page.locator(f'.ft-t[data-pos="{position}"]')
        bring_into_sight(page, position)
        assert "".join(pieces.all_text_contents()) == shown
        assert all(box["width"] > 3 for piece in pieces.all() if (box := piece.bounding_box()))
    find = page.get_by_label("Find in the text")
    find.fill("X" * 20)  # İ is two letters long in lower case: what stands after it must be found where it is
    find.press("Enter")
    expect(page.get_by_role("tooltip")).to_contain_text(f"position{start + list(ODD).index('x' * 500)}")
    find.fill("not in here")
    find.press("Enter")
    expect(find).to_have_attribute("aria-invalid", "true")
    watched.shoot("page-odd")
    watched.close()


def test_hostile_trace_loads_no_picture(browser: Browser, tmp_path: Path) -> None:
    """Markdown and HTML pictures in names, calls, results and errors stay text on every page."""
    from dataclasses import replace

    bad = "![x](https://pictures.example/x.png) <img src=https://pictures.example/y.png> :material/home:"
    run = build_run(1)
    first, tool, last = run.trace.steps
    run.trace.name, run.trace.error, run.trace.status = bad, bad, "error"
    run.trace.tags, run.trace.session = [bad], bad
    call = ToolCall("call_0", bad, {bad: bad})
    first.output = Message("assistant", bad, bad, (call,))
    first.tools = [ToolSchema(bad, bad)]
    first.error = first.fidelity_reason = first.model = first.finish_reason = bad
    tool.name, tool.result = bad, bad
    last.input = [replace(message, content=bad) for message in last.input]
    run.attributions[first.id] = [replace(run.attributions[first.id][0], target_name=bad)]
    other = build_run(2)
    other.attributions = {other.trace.steps[0].id: run.attributions[first.id]}
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [run, other])
    with Store(url) as store:
        nodes = tuple(replace(node, label=bad, text=bad, words=bad) for node in trajectory_of(run).nodes)
        store.write_trajectory(replace(trajectory_of(run), nodes=nodes, text=bad, target_name=bad))
        store.jobs.enqueue(first.id, [bad])
        (job,) = store.jobs.lease(bad)
        store.jobs.fail(job, bad, retry=False)
    with serving(url) as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(address)
        see_rows(page, 2)
        for step in run.trace.steps:
            page.goto(f"{address}/trace?trace={run.trace.id}&step={step.id}")
            expect(page.get_by_role("heading", name="pictures.example").first).to_be_visible()
            settle(page)
            assert page.locator("main img, section img").count() == 0
            for badge in page.locator(".stMarkdownBadge", has_text="pictures.example").all():
                assert badge.inner_text().endswith(bad)
        page.goto(f"{address}/why?trace={run.trace.id}&step={first.id}")
        see_tokens(page)
        watched.shoot("hostile")
        page.goto(f"{address}/compare?a={run.trace.id}&b={other.trace.id}")
        expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
        settle(page)
        assert page.locator("main img, section img").count() == 0
        page.goto(f"{address}/jobs")
        expect(page.get_by_text("failed 1").first).to_be_visible()
        expect(page.get_by_text("pictures.example").first).to_be_visible()
        assert page.locator("main img, section img").count() == 0
        page.goto(f"{address}/trajectory?trace={run.trace.id}")
        expect(page.locator(".sankey .node")).to_have_count(7)
        watched.close()


def test_token_opens_the_dashboard(browser: Browser, tmp_path: Path, good_run: Run) -> None:
    """With a token the page shows nothing but the question for it until it is given."""
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [good_run])
    with serving(url, FLASHTRACE_AGENT_DASHBOARD_TOKEN="three green lamps") as address:
        watched = Watched(browser)
        page = watched.page
        page.goto(f"{address}/trace?trace={good_run.trace.id}")
        field = page.get_by_label("Token the dashboard was started with")
        field.fill("three red lamps")
        field.press("Enter")
        expect(page.get_by_text("This is not the token.").first).to_be_visible()
        assert page.get_by_text("warehouse agent").count() == 0
        field.fill("three green lamps")
        field.press("Enter")
        expect(page.get_by_role("heading", name="warehouse agent").first).to_be_visible()
        watched.close()
