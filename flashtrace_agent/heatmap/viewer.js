// The token heat map: one viewer, used by the standalone page (html.py) and by the dashboard.
//
// flashtraceHeatmap(root, data, state, events) fills the element `root`. `data` is what
// flashtrace_agent.html.viewer_data returns; `state` is kept by the caller, so that a redraw does
// not lose what the reader had set. `events` may have pick([start, end]) and go(target): what the
// data does not hold is asked for there.
// Here the pieces are put together; each has a file of its own, named in html.py.

const FT_FOLD_FROM = 400; // lines; a shorter text is shown whole

function flashtraceHeatmap(root, data, state, events) {
  "use strict";
  state = Object.assign(
    { attribution: 0, view: 0, contrast: 50, fold: null, segment: null, top: 0, text: "" },
    state
  );
  state.attribution = Math.min(state.attribution, data.attributions.length - 1);
  events = events || {};

  const box = ftElement("div", "ft");
  const head = ftElement("div", "ft-head", box);
  const controls = ftElement("div", "ft-controls", head);
  const facts = ftElement("div", "ft-facts", head);
  const main = ftElement("div", "ft-main", box);
  const pane = ftElement("div", "ft-text", main);
  const side = ftElement("aside", "ft-side", main);
  const legend = ftElement("div", "ft-legend", box);
  ftElement("p", "ft-note", box, data.note);
  pane.tabIndex = 0;
  pane.setAttribute("role", "group");
  pane.setAttribute(
    "aria-label",
    "Tokens of the prompt and the completion. Left and right arrows go from token to token, home and end " +
      "to the first and the last, page up and page down from rank to rank. Enter explains a generated part, " +
      "or shows what a segment of the prompt influenced; shift and the arrows mark several tokens."
  );
  side.setAttribute("aria-label", "Ranking");

  const viewer = Object.assign(ftReading(data, state), {
    uid: "ft" + Math.random().toString(36).slice(2, 8),
    ranking: [], // token positions with a score, strongest first
    rankOf: (position) => rank[position],
    folds: () => !blank() && (state.fold === null ? layout.tile.length > FT_FOLD_FROM : state.fold),
    hint(position) {
      if (position < viewer.written()) {
        if (blank()) return "";
        return viewer.segmentAt(position) ? "Click: what this segment influenced" : "";
      }
      return events.pick || data.attributions.length > 1 ? "Click or drag: explain this" : "";
    },
  });
  const tip = ftTip(box, viewer);
  const lines = ftLines(pane, (item, index) => ftDrawLine(item, shown[index - 1], picture(), pressFold));
  pane.setAttribute("aria-describedby", tip.id);

  let layout = null;
  let columns = 0;
  let shown = []; // what stands in each line of the pane
  let opened = new Set(); // first lines of folds the reader opened
  let rank = new Int32Array(0); // of each token; 0 for those without a score
  let shares = new Map(); // of each segment's name
  let active = -1; // token under the pointer or the keyboard
  let marked = null; // [start, end) about to be picked
  
  const blank = () => viewer.isBlank();

  // ---- what is shown ----------------------------------------------------------------------

  function drawAll() {
    tip.hide();
    state.view = Math.min(state.view, viewer.attribution().views.length - 1);
    const { tokens } = viewer.sequence();
    const text = (blank() ? "blank " : "") + tokens.length + tokens.slice(0, 50).join("");
    if (text !== state.text) {
      Object.assign(state, { text, top: 0, segment: null }); // another step
      opened = new Set();
    }
    arrange();
    ftControls(controls, viewer, changed);
    ftFacts(facts, viewer);
    drawScores();
    if (state.top) pane.scrollTop = state.top;
    else if (viewer.ranking.length) scrollTo(viewer.ranking[0]);
    else if (blank()) scrollTo(viewer.written());
  }

  function arrange() {
    columns = ftColumns(pane);
    layout = ftLayout(viewer.sequence().tokens, viewer.tiles(), columns);
  }

  function drawScores() {
    const { scores } = viewer.view();
    const ranking = [];
    for (let i = 0; i < scores.length; i++) if (scores[i] > 0) ranking.push(i);
    ranking.sort((a, b) => scores[b] - scores[a] || a - b);
    rank = new Int32Array(scores.length);
    ranking.forEach((position, index) => (rank[position] = index + 1));
    viewer.ranking = ranking;
    shares = new Map(viewer.view().segments.map(([name, share]) => [name, share]));
    foldLines();
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

  function foldLines() {
    const keep = viewer.attribution().target.map(([start]) => layout.lineOf[start]);
    layout.tile.forEach((tile, line) => tile < 0 && keep.push(line)); // where the completion begins
    shown = viewer.folds()
      ? ftFold(layout, viewer.view().scores, viewer.view().total, keep, opened)
      : [...layout.tile.keys()];
    paint();
    lines.show(shown);
  }

  let strongest = 1;
  let power = 0.5;

  // Alpha grows with score / strongest score, raised to a power the contrast slider sets:
  // 1 at the left end (proportional), ½ in the middle, ¼ at the right end.
  function paint() {
    strongest = viewer.ranking.length ? viewer.view().scores[viewer.ranking[0]] : 1;
    power = Math.pow(0.25, state.contrast / 100);
    ftLegend(legend, viewer, strongest, power);
  }

  function picture() {
    const { scores } = viewer.view();
    const item = viewer.attribution();
    return {
      layout,
      tiles: viewer.tiles(),
      shares,
      heat: (position) => (scores[position] > 0 ? Math.pow(scores[position] / strongest, power) : 0),
      tokens: viewer.sequence().tokens,
      target: item.target,
      through: item.through,
      pending: data.pending || [],
      written: viewer.written(),
      segment: state.segment,
      marked,
      active,
    };
  }

  // ---- what the reader does ---------------------------------------------------------------

  const changed = {
    attribution(index) {
      state.attribution = index;
      drawAll();
    },
    view: drawScores,
    contrast() {
      paint();
      lines.redraw();
    },
    fold() {
      opened = new Set();
      foldLines();
    },
    find(text, backwards) {
      const found = ftFind(viewer.sequence().tokens, text, active, backwards);
      if (found >= 0) reveal(found);
      return found >= 0;
    },
  };

  const act = {
    segment(name) {
      if (blank()) return;
      const before = state.segment;
      state.segment = name;
      drawSide(before);
      if (name !== null) {
        side.scrollTop = 0;
        if (!inSight(name)) reveal(strongestIn(name));
      }
      lines.redraw();
    },
    token: reveal,
    mark(range) {
      marked = range;
      tip.hide();
      lines.redraw();
    },
    pick(range) {
      marked = null;
      lines.redraw();
      const known = data.attributions.findIndex(
        (item) =>
          item.sequence === viewer.attribution().sequence &&
          item.target.some(([start, end]) => start === range[0] && end === range[1])
      );
      if (known >= 0 && known !== state.attribution) changed.attribution(known);
      else if (known < 0 && events.pick) events.pick(range);
    },
    go(target) {
      if (target.index !== undefined) changed.attribution(target.index);
      else if (events.go) events.go(target);
    },
  };
  ftPick(pane, viewer, act);

  function pressFold(line) {
    openFold(line);
    pane.focus({ preventScroll: true }); // the button is gone
  }

  function openFold(line) {
    opened.add(line);
    foldLines();
  }

  function reveal(position) {
    if (position < 0) return;
    scrollTo(position);
    point(position);
    const span = spanOf(position);
    if (span) span.classList.add("ft-flash");
  }

  function scrollTo(position) {
    const line = layout.lineOf[position];
    let index = shown.indexOf(line);
    if (index < 0) {
      const fold = shown.find((item) => item.from <= line && line < item.to);
      if (!fold) return;
      openFold(fold.from);
      index = shown.indexOf(line);
    }
    lines.reveal(index);
  }

  function point(position) {
    const before = spanOf(active);
    if (before) before.classList.remove("ft-active");
    active = position;
    const span = spanOf(position);
    if (!span) return;
    span.classList.add("ft-active");
    tip.show(position, span);
  }

  function unpoint() {
    const span = spanOf(active);
    if (span) span.classList.remove("ft-active");
    tip.hide();
  }

  function spanOf(position) {
    return position < 0 ? null : pane.querySelector('.ft-t[data-pos="' + position + '"]');
  }

  pane.addEventListener("pointerover", (event) => {
    const span = event.target.closest(".ft-t");
    if (span && !marked) point(Number(span.dataset.pos));
    else unpoint();
  });
  pane.addEventListener("pointerleave", unpoint);
  pane.addEventListener("scroll", () => {
    state.top = pane.scrollTop;
    if (tip.visible() && pane.matches(":hover")) unpoint();
  });
  pane.addEventListener("blur", unpoint);
  ftKeyboard(pane, viewer, {
    act,
    reveal,
    unpoint,
    active: () => active,
    marked: () => marked,
  });

  function strongestIn(name) {
    const found = viewer.ranking.find((position) => viewer.segmentAt(position) === name);
    if (found !== undefined) return found;
    const tile = viewer.tiles().find((segment) => segment[0] === name);
    return tile ? tile[1] : -1;
  }

  function inSight(name) {
    const frame = pane.getBoundingClientRect();
    return [...pane.querySelectorAll(".ft-t")].some((span) => {
      const place = span.getBoundingClientRect();
      const seen = place.bottom > frame.top && place.top < frame.bottom;
      return seen && viewer.segmentAt(Number(span.dataset.pos)) === name;
    });
  }

  const held = root.contains(root.getRootNode().activeElement);
  root.replaceChildren(box);
  drawAll();
  if (held) pane.focus({ preventScroll: true });
  new ResizeObserver(() => {
    if (!pane.clientWidth) return;
    if (ftColumns(pane) !== columns) {
      arrange();
      foldLines();
    } else {
      lines.update();
    }
  }).observe(pane);
  return state;
}
