"""Go through a page with the tab key, into shadow roots too."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page

_SCRIPT = """() => {
  const focused = () => {
    let found = document.activeElement;
    while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
    if (found === document.body) return null;
    return found?.closest("canvas") ?? found; // a table's cells stand in its canvas, for screen readers
  };
  const all = (root) => [...root.querySelectorAll("*")].flatMap((each) =>
    each.shadowRoot ? [each, ...all(each.shadowRoot)] : [each]);
  // Among the buttons of a group the arrow keys go on, and in a table.
  const inGroup = (each) => each.closest("[role=radiogroup], [role=toolbar], [data-testid=stButtonGroup]");
  const isControl = (each) =>
    each.matches("a[href], button, input, select, textarea, [tabindex], [role=treeitem]") &&
    !each.disabled && each.tabIndex >= 0 && each.getAttribute("aria-hidden") !== "true" &&
    each.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
    !(each.type === "radio" && !each.checked) && !inGroup(each);
  const name = (each) => (each.getAttribute("aria-label") || each.labels?.[0]?.innerText || each.innerText ||
    each.textContent || each.placeholder || each.title || "").trim().split("\\n")[0];
  const describe = (each) => (each.getAttribute("role") || each.localName) + " " + name(each);
  const parent = (each) => each.parentElement || each.getRootNode().host;
  // What of the look of an element, what it holds and what holds it a focus may change.
  const look = (each) => {
    const near = [each, ...each.querySelectorAll("*")].slice(0, 8);
    for (let up = parent(each), depth = 0; up && depth < 5; up = parent(up), depth++) near.push(up);
    return JSON.stringify(near.map((one) => {
      const style = getComputedStyle(one);
      return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor,
        style.backgroundColor, style.color, style.textDecorationLine, style.stroke];
    }));
  };
  // A table is drawn on a canvas, with its focus; the page's main part is there to be scrolled.
  const isFrame = (each) => each.matches("canvas, main, [data-testid=stMain]");
  window.keyboard = { focused, all, isControl, isFrame, describe, look, seen: new Set(), last: null };
}"""

_STEP = """() => {
  const k = window.keyboard;
  const before = k.last;
  const now = k.focused();
  if (now && now === before) return { stays: true };
  const shown = !before || k.isFrame(before) || k.look(before) !== k.lastLook;
  const again = now !== null && k.seen.has(now);
  k.last = now;
  k.lastLook = now ? k.look(now) : "";
  if (now) k.seen.add(now);
  return { shown, again, now: now ? k.describe(now) : "" };
}"""

_MISSED = """() => window.keyboard.all(document).filter(window.keyboard.isControl)
  .filter((each) => !window.keyboard.seen.has(each)).map(window.keyboard.describe)"""


@dataclass
class Walk:
    """What the tab key came by.

    Attributes:
        stops: role and name of each control, in the order in which it was reached.
        unseen: those that did not look different while they had the focus.
        missed: controls that can have the focus and were not reached.
    """

    stops: list[str]
    unseen: list[str]
    missed: list[str]


def walk(page: Page, limit: int = 150) -> Walk:
    """Press tab from the top of the page until it comes round."""
    page.evaluate(_SCRIPT)
    stops: list[str] = []
    unseen: list[str] = []
    for _ in range(limit):
        page.keyboard.press("Tab")
        page.wait_for_timeout(30)  # transitions begin
        found = page.evaluate(_STEP)
        if "stays" in found:
            continue  # from cell to cell of a table
        if not found["shown"]:
            unseen.append(stops[-1])
        if found["again"] or not found["now"]:
            return Walk(stops, unseen, page.evaluate(_MISSED))
        stops.append(found["now"])
    raise AssertionError(f"The tab key does not come round: {stops}")
