// Draw the lines near the viewport, and only those: 100,000 tokens scroll like a hundred.
//
// ftLines(pane, draw) returns {show(items), update(), redraw(), reveal(index)}. `draw(item)` makes
// the element of one line; all lines are FT_LINE_HEIGHT pixels high.

const FT_LINE_HEIGHT = 22;
const FT_MARGIN = 12; // lines drawn above and below what is seen

function ftLines(pane, draw) {
  const sheet = ftElement("div", "ft-sheet", pane);
  let items = [];
  let drawn = new Map(); // index among the items -> element
  let waiting = false;

  function update() {
    waiting = false;
    const top = pane.scrollTop;
    const from = Math.max(0, Math.floor(top / FT_LINE_HEIGHT) - FT_MARGIN);
    const to = Math.min(items.length, Math.ceil((top + pane.clientHeight) / FT_LINE_HEIGHT) + FT_MARGIN);
    for (const [index, element] of drawn) {
      if (index >= from && index < to) continue;
      element.remove();
      drawn.delete(index);
    }
    for (let index = from; index < to; index++) {
      if (drawn.has(index)) continue;
      const element = draw(items[index], index);
      element.style.top = index * FT_LINE_HEIGHT + "px";
      drawn.set(index, element);
      // In the order of the text, for whoever reads it aloud or copies it.
      let next = index + 1;
      while (next < to && !drawn.has(next)) next++;
      sheet.insertBefore(element, next < to ? drawn.get(next) : null);
    }
  }

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(update);
  }

  function redraw() {
    for (const element of drawn.values()) element.remove();
    drawn = new Map();
    update();
  }

  pane.addEventListener("scroll", later, { passive: true });
  return {
    update,
    redraw,
    show(list) {
      items = list;
      sheet.style.height = items.length * FT_LINE_HEIGHT + "px";
      redraw();
    },
    // Scrolls the pane alone: scrollIntoView would also move the page around it.
    reveal(index) {
      pane.scrollTop = index * FT_LINE_HEIGHT - (pane.clientHeight - FT_LINE_HEIGHT) / 2;
      update();
    },
  };
}
