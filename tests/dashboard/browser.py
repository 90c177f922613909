"""The browser and the server the browser tests use."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from .agent_run import Run

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SCREENSHOTS = Path(__file__).resolve().parents[2] / "test-output"

PATIENCE_MS = 240_000
"""The machine may be busy with other things, and Streamlit loads its parts lazily; nothing waits longer than
it has to."""

SIZES = {"phone": (390, 844), "laptop": (1280, 800), "wide": (2560, 1440)}


def chromium() -> str:
    """Return the path of the system's Chromium, or fail telling how to get one."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(
            "The browser tests need Chromium: install it with "
            "`apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core`, "
            'or leave these tests out with -m "not browser".'
        )
    return found


def free_port() -> int:
    """Return a port nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(store_url: str, *arguments: str, **environment: str) -> Iterator[str]:
    """Run `flashtrace-agent dashboard` over a store and yield the address it prints."""
    command = [
        *(sys.executable, "-c", "from flashtrace_agent.cli import main; main()"),
        *("dashboard", "--store", store_url, "--port", str(free_port()), "--no-browser", *arguments),
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        assert line.startswith("Dashboard at "), line + server.stdout.read()
        yield line.split()[2]
    finally:
        server.terminate()
        server.communicate(timeout=120)


class Watched:
    """A page that notes what goes wrong in it and whom it asks."""

    def __init__(self, browser: Browser, scheme: str = "light", size: str = "laptop") -> None:
        width, height = SIZES[size]
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.strangers.append(url)

    def shoot(self, name: str) -> None:
        """Save a screenshot once nothing is loading any more."""
        settle(self.page)
        self.page.wait_for_timeout(300)  # fonts and transitions
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def close(self) -> None:
        """Close the page; fail if a script failed or something outside was asked."""
        self.page.close()
        assert self.errors == []
        assert self.strangers == []


def settle(page: Page) -> None:
    """Wait until the page's script has run: only then is what it replaced gone.

    While a page is run again, an element and the one it takes the place of may stand there both, so what
    is new is waited for first, and what must be there once is asked for after this.
    """
    app = page.get_by_test_id("stApp")
    if app.count():  # a standalone page has none
        expect(app).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.locator("[data-stale=true]")).to_have_count(0)


def see_target(page: Page, name: str) -> None:
    """Wait until the heat map of a target is there, and only that."""
    expect(page.locator(".ft-facts", has_text=name).first).to_be_visible()
    settle(page)
    expect(page.locator(".ft-facts", has_text=name)).to_have_count(1)


def see_tokens(page: Page) -> None:
    """Wait until a heat map is drawn."""
    expect(page.locator(".ft-t").first).to_be_visible()
    settle(page)


def see_rows(page: Page, count: int) -> None:
    """Wait until the page's table has so many rows; the grid beside its canvas, for screen readers, says."""
    grid = page.locator(f"[data-testid=stDataFrame] [role=grid][aria-rowcount='{count + 1}']")
    expect(grid.first).to_be_attached()
    settle(page)
    expect(grid).to_have_count(1)


def click_row(page: Page, left: int = 18) -> None:
    """Tick the first row of the page's table, a canvas, or click into it so far from the left."""
    page.locator("[data-testid=stDataFrame]:visible").first.click(position={"x": left, "y": 52})


def bring_into_sight(page: Page, position: int) -> Locator:
    """Scroll the text until a token is drawn, as only those near the viewport are; return it."""
    token = page.locator(f'.ft-body .ft-t[data-pos="{position}"]').first
    see_tokens(page)
    pane = page.locator(".ft-text")
    for page_number in range(100):
        if token.count():
            return token
        pane.evaluate("(pane, part) => { pane.scrollTop = part * pane.clientHeight; }", page_number)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    raise AssertionError(f"token {position} is not in the text")


def heat(page: Page, position: int) -> float:
    """Return the heat a token is drawn with, 0 to 1."""
    style = bring_into_sight(page, position).get_attribute("style") or ""
    found = re.search(r"--heat: ([\d.]+)", style)
    return float(found[1]) if found else 0.0


def contrast(words: Locator) -> float:
    """Return the WCAG contrast between an element's text and all that lies below it."""
    ratio: float = words.evaluate(
        """(element) => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const light = (colors) => {
            for (const color of colors) {
              canvas.fillStyle = color;
              canvas.fillRect(0, 0, 1, 1);
            }
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((byte) => {
              const c = byte / 255;
              return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const below = [];
          for (let up = element; up; up = up.parentElement || up.getRootNode().host) {
            below.unshift(getComputedStyle(up).backgroundColor);
          }
          const colors = ["white", ...below];
          const pair = [light(colors), light([...colors, getComputedStyle(element).color])];
          return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        }"""
    )
    return ratio


def hottest(run: Run, step: int, target: str) -> int:
    """Return the position of the strongest token of a target."""
    attributions = run.attributions[run.trace.steps[step].id]
    return next(one for one in attributions if one.target_name == target).top(1)[0].position
