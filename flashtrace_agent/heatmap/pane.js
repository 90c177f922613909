// The text: cut into lines, some of them folded away, and scrolled to any token.
//
// ftPane(pane, viewer, picture) returns {arrange, fold, folds, close, redraw, scrollTo, inSight}. `picture()` is
// what line.js draws the tokens by, but for the layout.

const FT_FOLD_FROM = 400; // lines; a shorter text is shown whole

function ftPane(pane, viewer, picture) {
  let layout = null;
  let columns = 0;
  let shown = []; // what stands in each line of the pane
  let opened = new Set(); // first lines of folds the reader opened
  const lines = ftLines(pane, (item, index) =>
    ftDrawLine(item, shown[index - 1], { layout, ...picture() }, press)
  );

  function arrange() {
    columns = ftColumns(pane);
    layout = ftLayout(viewer.sequence().tokens, viewer.tiles(), columns);
  }

  function folds() {
    if (viewer.isBlank()) return false;
    return viewer.state.fold === null ? layout.tile.length > FT_FOLD_FROM : viewer.state.fold;
  }

  function fold() {
    const { scores, total } = viewer.view();
    const keep = viewer.attribution().target.map(([start]) => layout.lineOf[start]);
    layout.tile.forEach((tile, line) => tile < 0 && keep.push(line)); // where the completion begins
    shown = folds() ? ftFold(layout, scores, total, keep, opened) : [...layout.tile.keys()];
    lines.show(shown);
  }

  function open(line) {
    opened.add(line);
    fold();
  }

  function press(line) {
    open(line);
    pane.focus({ preventScroll: true }); // the button is gone
  }

  function scrollTo(position) {
    const line = layout.lineOf[position];
    let index = shown.indexOf(line);
    if (index < 0) {
      const folded = shown.find((item) => item.from <= line && line < item.to);
      if (!folded) return;
      open(folded.from);
      index = shown.indexOf(line);
    }
    lines.reveal(index);
  }

  function inSight(name) {
    const frame = pane.getBoundingClientRect();
    return [...pane.querySelectorAll(".ft-t")].some((span) => {
      const place = span.getBoundingClientRect();
      const seen = place.bottom > frame.top && place.top < frame.bottom;
      return seen && viewer.segmentAt(Number(span.dataset.pos)) === name;
    });
  }

  new ResizeObserver(() => {
    if (!pane.clientWidth) return;
    if (ftColumns(pane) !== columns) {
      arrange();
      fold();
    } else {
      lines.update();
    }
  }).observe(pane);

  return { arrange, fold, folds, close: () => (opened = new Set()), redraw: lines.redraw, scrollTo, inSight };
}
