// The token heat map: one viewer, used by the standalone page (html.py) and by the dashboard.
//
// flashtraceHeatmap(root, data, before, events) fills the element `root` and returns its state. `data` is what
// flashtrace_agent.html.viewer_data returns; `before` is the state of an earlier call, kept by the caller, so
// that a redraw does not lose what the reader had set. `events` may have pick([start, end]) and go(target): what
// the data does not hold is asked for there.
// Here the pieces are put together; each has a file of its own, named in html.py.

function flashtraceHeatmap(root, data, before, events = {}) {
  const state = Object.assign(
    { attribution: 0, view: 0, contrast: 50, fold: null, segment: null, top: 0, text: "" },
    before
  );
  state.attribution = Math.min(state.attribution, data.attributions.length - 1);
  let marked = null; // [start, end) about to be picked

  const { box, controls, facts, pane, side, legend } = ftBoxes(data.note);
  const viewer = Object.assign(ftReading(data, state), {
    uid: "ft" + Math.random().toString(36).slice(2, 8),
    marked: () => marked,
    folds: () => text.folds(),
    hint,
  }); // and what ranks.js says of the view
  const tip = ftTip(box, viewer);
  const text = ftPane(pane, viewer, picture);
  const pointed = ftPoint(pane, viewer, tip);
  pane.setAttribute("aria-describedby", tip.id);
  pane.addEventListener("scroll", () => (state.top = pane.scrollTop));

  // ---- what is shown ----------------------------------------------------------------------

  function drawAll() {
    tip.hide();
    state.view = Math.min(state.view, viewer.attribution().views.length - 1);
    const { tokens } = viewer.sequence();
    const known = (viewer.isBlank() ? "blank " : "") + tokens.length + tokens.slice(0, 50).join("");
    if (known !== state.text) {
      Object.assign(state, { text: known, top: 0, segment: null }); // another step
      text.close();
    }
    text.arrange();
    ftControls(controls, viewer, changed);
    ftFacts(facts, viewer);
    drawScores();
    if (state.top) pane.scrollTop = state.top;
    else if (viewer.ranking.length) text.scrollTo(viewer.ranking[0]);
    else if (viewer.isBlank()) text.scrollTo(viewer.written());
  }

  function drawScores() {
    Object.assign(viewer, ftRanks(viewer.view()));
    text.fold();
    drawLegend();
    drawSide(state.segment);
  }

  // What is pressed there is drawn anew: the focus goes to what it opened, or back to the segment it came from.
  function drawSide(from) {
    const held = side.contains(root.getRootNode().activeElement);
    ftSide(side, viewer, act);
    if (!held) return;
    const rows = [...side.querySelectorAll("[data-segment]")];
    const next = side.querySelector(".ft-close") || rows.find((row) => row.dataset.segment === from) || pane;
    next.focus({ preventScroll: true });
  }

  function drawLegend() {
    ftLegend(legend, viewer, viewer.strongest, power());
  }

  // Alpha grows with score / strongest score, raised to this power, which the contrast slider sets:
  // 1 at the left end (proportional), ½ in the middle, ¼ at the right end.
  function power() {
    return Math.pow(0.25, state.contrast / 100);
  }

  function picture() {
    const { target, through } = viewer.attribution();
    const raised = power();
    return {
      tiles: viewer.tiles(),
      shares: viewer.shares,
      heat: (position) => viewer.heat(position, raised),
      tokens: viewer.sequence().tokens,
      target,
      through,
      pending: data.pending || [],
      written: viewer.written(),
      segment: state.segment,
      marked,
      active: pointed.active(),
    };
  }

  function hint(position) {
    if (position >= viewer.written()) {
      return events.pick || data.attributions.length > 1 ? "Click or drag: explain this" : "";
    }
    return !viewer.isBlank() && viewer.segmentAt(position) ? "Click: what this segment influenced" : "";
  }

  // ---- what the reader does ---------------------------------------------------------------

  const changed = {
    attribution(index) {
      state.attribution = index;
      drawAll();
    },
    view: drawScores,
    contrast() {
      drawLegend();
      text.redraw();
    },
    fold() {
      text.close();
      text.fold();
    },
    find(words, backwards) {
      const found = ftFind(viewer.sequence().tokens, words, pointed.active(), backwards);
      if (found >= 0) reveal(found);
      return found >= 0;
    },
  };

  const act = {
    segment(name) {
      if (viewer.isBlank()) return;
      const from = state.segment;
      state.segment = name;
      drawSide(from);
      if (name !== null) {
        side.scrollTop = 0;
        if (!text.inSight(name)) reveal(strongestIn(name));
      }
      text.redraw();
    },
    token: reveal,
    mark(range) {
      marked = range;
      tip.hide();
      text.redraw();
    },
    pick(range) {
      marked = null;
      text.redraw();
      const known = indexOf(range);
      if (known >= 0 && known !== state.attribution) changed.attribution(known);
      else if (known < 0 && events.pick) events.pick(range);
    },
    go(target) {
      if (target.index !== undefined) changed.attribution(target.index);
      else if (events.go) events.go(target);
    },
  };

  function reveal(position) {
    if (position < 0) return;
    text.scrollTo(position);
    pointed.flash(position);
  }

  function strongestIn(name) {
    const found = viewer.ranking.find((position) => viewer.segmentAt(position) === name);
    if (found !== undefined) return found;
    const tile = viewer.tiles().find((segment) => segment[0] === name);
    return tile ? tile[1] : -1;
  }

  // Which attribution explains these tokens, of the text that is shown; -1 for none.
  function indexOf([first, last]) {
    const { sequence } = viewer.attribution();
    return data.attributions.findIndex(
      (item) => item.sequence === sequence && item.target.some(([start, end]) => start === first && end === last)
    );
  }

  ftPick(pane, viewer, act);
  ftKeyboard(pane, viewer, { act, reveal, ...pointed });

  const held = root.contains(root.getRootNode().activeElement);
  root.replaceChildren(box);
  drawAll();
  if (held) pane.focus({ preventScroll: true });
  return state;
}
