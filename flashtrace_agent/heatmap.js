// The token heat map: one viewer, used by the standalone page (html.py) and by the dashboard.
//
// flashtraceHeatmap(root, data, state) fills the element `root`. `data` is what
// flashtrace_agent.html.viewer_data returns; `state` (chosen attribution, view, contrast) is
// kept by the caller so that a redraw does not lose what the reader had set.
// Everything from a trace reaches the page through textContent, never as markup.

function flashtraceHeatmap(root, data, state) {
  "use strict";
  state = Object.assign({ attribution: 0, view: 0, contrast: 50 }, state);
  state.attribution = Math.min(state.attribution, data.attributions.length - 1);

  const uid = "ft" + Math.random().toString(36).slice(2, 8);
  const box = element("div", "ft");
  const head = element("div", "ft-head", box);
  const controls = element("div", "ft-controls", head);
  const facts = element("div", "ft-facts", head);
  const main = element("div", "ft-main", box);
  const text = element("div", "ft-text", main);
  const side = element("aside", "ft-side", main);
  const legend = element("div", "ft-legend", box);
  const note = element("p", "ft-note", box);
  const tip = element("div", "ft-tip", box);
  note.textContent = data.note;
  tip.setAttribute("role", "tooltip");
  tip.id = uid + "-tip";
  tip.hidden = true;
  text.tabIndex = 0;
  text.setAttribute("role", "group");
  text.setAttribute("aria-describedby", tip.id);
  text.setAttribute(
    "aria-label",
    "Tokens of the prompt and the completion. Left and right arrows go from token to token, " +
      "page up and page down from rank to rank."
  );
  side.setAttribute("aria-label", "Ranking");

  let spans = []; // one element per token
  let heads = []; // [segment name, element for its share] of every block that has a heading
  let active = -1; // token under the pointer or the keyboard
  let ranking = []; // token positions with a score, strongest first
  let rankOf = new Map();

  const attribution = () => data.attributions[state.attribution];
  const sequence = () => data.sequences[attribution().sequence];
  const view = () => attribution().views[state.view];

  // ---- controls -------------------------------------------------------------------------

  function drawControls() {
    controls.replaceChildren();
    if (data.attributions.length > 1) {
      const label = element("label", "ft-control", controls, "Target");
      const select = element("select", "", label);
      data.attributions.forEach((item, index) => {
        const option = element("option", "", select, item.name + " · " + clip(item.text, 48));
        option.value = String(index);
        option.selected = index === state.attribution;
      });
      select.addEventListener("change", () => {
        state.attribution = Number(select.value);
        drawAll();
        controls.querySelector("select").focus();
      });
    }
    const group = element("fieldset", "ft-control ft-views", controls);
    element("legend", "", group, "Hop");
    attribution().views.forEach((item, index) => {
      const label = element("label", "", group);
      const radio = element("input", "", label);
      radio.type = "radio";
      radio.name = uid + "-view";
      radio.value = String(index);
      radio.checked = index === state.view;
      label.append(item.label);
      label.title = item.help;
      radio.addEventListener("change", () => {
        state.view = index;
        drawScores();
      });
    });
    const label = element("label", "ft-control", controls, "Contrast");
    const range = element("input", "", label);
    range.type = "range";
    range.min = "0";
    range.max = "100";
    range.value = String(state.contrast);
    range.title = "Right: weak scores show more. Left: only the strongest show.";
    range.addEventListener("input", () => {
      state.contrast = Number(range.value);
      paint();
    });
  }

  function drawFacts() {
    facts.replaceChildren();
    const item = attribution();
    fact("target", item.name, '“' + clip(visible(item.text), 160) + '”');
    const badge = fact("fidelity", item.fidelity, "");
    badge.classList.add("ft-fidelity", "ft-fidelity-" + item.fidelity);
    badge.title = item.fidelity_help;
    fact("method", item.method, "");
    if (item.model) fact("model", item.model, "");
    fact("tokens", sequence().tokens.length.toLocaleString("en"), "");
  }

  function fact(name, value, more) {
    const holder = element("span", "ft-fact", facts);
    element("span", "ft-fact-name", holder, name);
    element("span", "ft-fact-value", holder, value);
    if (more) element("span", "ft-fact-more", holder, more);
    return holder;
  }

  // ---- tokens ---------------------------------------------------------------------------

  function drawTokens() {
    text.replaceChildren();
    spans = [];
    heads = [];
    active = -1;
    const { tokens, segments } = sequence();
    const tiles = segments.length ? segments : [["", 0, tokens.length, null]];
    const target = marks(attribution().target);
    const through = marks(attribution().through);
    let heading = "";
    let inCompletion = false;
    for (const [name, start, end, message] of tiles) {
      if (message === -1 && !inCompletion) {
        inCompletion = true;
        element("div", "ft-divider", text, "completion");
      }
      const plain = name === "template" || name === "";
      const block = element("div", "ft-block" + (plain ? " ft-template" : ""), text);
      block.dataset.segment = name;
      const gutter = element("div", "ft-gutter", block);
      if (!plain && name !== heading) {
        element("span", "ft-segment", gutter, name);
        heads.push([name, element("span", "ft-share", gutter)]);
        heading = name;
      }
      const body = element("div", "ft-body", block);
      for (let position = start; position < end; position++) {
        const span = element("span", "ft-t", body);
        span.dataset.pos = String(position);
        writeToken(span, tokens[position]);
        if (SPECIAL.test(tokens[position])) span.classList.add("ft-special");
        if (through.has(position)) span.classList.add("ft-through");
        if (target.has(position)) {
          span.classList.add("ft-target");
          if (!target.has(position - 1)) span.classList.add("ft-target-first");
          if (!target.has(position + 1)) span.classList.add("ft-target-last");
        }
        spans[position] = span;
      }
    }
  }

  // ---- scores ---------------------------------------------------------------------------

  function drawScores() {
    state.view = Math.min(state.view, attribution().views.length - 1);
    const { scores } = view();
    ranking = [];
    for (let i = 0; i < scores.length; i++) if (scores[i] > 0) ranking.push(i);
    ranking.sort((a, b) => scores[b] - scores[a] || a - b);
    rankOf = new Map(ranking.map((position, index) => [position, index + 1]));
    paint();
    drawSide();
    for (const [name, place] of heads) {
      const found = view().segments.find((segment) => segment[0] === name);
      place.textContent = found && found[1] > 0 ? percent(found[1]) : "";
    }
    if (active >= 0 && !tip.hidden) point(active);
  }

  // Alpha grows with score / strongest score, raised to a power the contrast slider sets:
  // 1 at the left end (proportional), ½ in the middle, ¼ at the right end.
  function paint() {
    const { scores } = view();
    const strongest = ranking.length ? scores[ranking[0]] : 1;
    const power = Math.pow(0.25, state.contrast / 100);
    spans.forEach((span, position) => {
      const heat = scores[position] > 0 ? Math.pow(scores[position] / strongest, power) : 0;
      if (heat >= 0.01) span.style.setProperty("--heat", heat.toFixed(3));
      else span.style.removeProperty("--heat");
    });
    drawLegend(strongest, power);
  }

  function drawLegend(strongest, power) {
    legend.replaceChildren();
    const scale = element("span", "ft-scale", legend);
    for (let i = 0; i <= 12; i++) {
      const step = element("span", "ft-step", scale);
      step.style.setProperty("--heat", Math.pow(i / 12, power).toFixed(3));
    }
    element("span", "", legend, "0 to " + percent(strongest / view().total) + " of the score in one token");
    const target = element("span", "ft-key", legend);
    element("span", "ft-t ft-target ft-target-first ft-target-last", target, "target");
    element("span", "", target, "what is being explained");
    if (attribution().through.length) {
      const through = element("span", "ft-key", legend);
      element("span", "ft-t ft-through", through, "reasoning");
      element("span", "", through, "what the recursion passed through");
    }
  }

  function drawSide() {
    side.replaceChildren();
    const current = view();
    if (current.remaining_mass !== null) {
      const line = element("p", "ft-remaining", side);
      element("strong", "", line, percent(current.remaining_mass));
      line.append(" of the influence still stands on the reasoning after this hop.");
    }
    element("h3", "", side, "Segments");
    const found = current.segments.filter((segment) => segment[1] > 0); // the rest are no sources
    if (!found.length) element("p", "ft-empty", side, "No named segment holds any of the score.");
    const list = element("ol", "ft-ranking", side);
    for (const [name, share, count] of found) {
      const row = element("button", "ft-row", element("li", "", list));
      row.type = "button";
      row.title = count + (count === 1 ? " token" : " tokens") + ". Click to go there.";
      row.style.setProperty("--share", String(share / found[0][1]));
      element("span", "ft-name", row, name);
      element("span", "ft-number", row, percent(share));
      element("span", "ft-bar", row);
      row.addEventListener("click", () => reveal(strongestIn(name)));
    }
    element("h3", "", side, "Strongest tokens");
    const top = element("ol", "ft-ranking ft-tokens", side);
    for (const position of ranking.slice(0, 10)) {
      const row = element("button", "ft-row", element("li", "", top));
      row.type = "button";
      const share = current.scores[position] / current.total;
      row.style.setProperty("--share", String(current.scores[position] / current.scores[ranking[0]]));
      element("span", "ft-name", row, visible(sequence().tokens[position]));
      element("span", "ft-number", row, percent(share));
      element("span", "ft-bar", row);
      row.title = "Token " + position + (segmentAt(position) ? " in " + segmentAt(position) : "");
      row.addEventListener("click", () => reveal(position));
    }
  }

  function strongestIn(name) {
    const found = ranking.find((position) => segmentAt(position) === name);
    if (found !== undefined) return found;
    const tile = sequence().segments.find((segment) => segment[0] === name);
    return tile ? tile[1] : -1;
  }

  function segmentAt(position) {
    const tile = sequence().segments.find((item) => item[1] <= position && position < item[2]);
    return tile ? tile[0] : "";
  }

  // ---- pointing -------------------------------------------------------------------------

  function reveal(position) {
    const span = spans[position];
    if (!span) return;
    center(span);
    span.classList.remove("ft-flash");
    // Blocks off screen have estimated heights (content-visibility): once those near the token
    // are laid out, it has moved, so centre it again.
    requestAnimationFrame(() => {
      center(span);
      point(position);
      span.classList.add("ft-flash");
    });
  }

  // Scrolls the token pane alone: scrollIntoView would also move the page around it.
  function center(span) {
    const pane = text.getBoundingClientRect();
    const place = span.getBoundingClientRect();
    text.scrollTop += place.top - pane.top - pane.height / 2;
  }

  function point(position) {
    const span = spans[position];
    if (!span) return;
    if (spans[active]) spans[active].classList.remove("ft-active");
    active = position;
    span.classList.add("ft-active");
    const score = view().scores[position];
    const rank = rankOf.get(position);
    tip.replaceChildren();
    element("div", "ft-tip-text", tip, visible(sequence().tokens[position]));
    const rows = [
      ["position", String(position)],
      ["segment", segmentAt(position)],
      ["score", score ? score.toPrecision(3) + " (" + percent(score / view().total) + ")" : "0"],
      ["rank", rank ? rank + " of " + ranking.length : "none"],
    ];
    for (const [name, value] of rows) {
      if (!value) continue;
      const row = element("div", "ft-tip-row", tip);
      element("span", "", row, name);
      element("span", "", row, value);
    }
    tip.hidden = false;
    const place = span.getClientRects()[0] || span.getBoundingClientRect();
    const frame = box.getBoundingClientRect();
    const left = Math.min(place.left - frame.left, frame.width - tip.offsetWidth - 4);
    const below = place.bottom - frame.top + 6;
    const above = place.top - frame.top - tip.offsetHeight - 6;
    const fits = place.bottom + tip.offsetHeight + 12 < window.innerHeight;
    tip.style.left = Math.max(left, 0) + "px";
    tip.style.top = (fits || above < 0 ? below : above) + "px";
  }

  function unpoint() {
    if (spans[active]) spans[active].classList.remove("ft-active");
    tip.hidden = true;
  }

  text.addEventListener("pointerover", (event) => {
    const span = event.target.closest(".ft-t");
    if (span) point(Number(span.dataset.pos));
    else unpoint();
  });
  text.addEventListener("pointerleave", unpoint);
  text.addEventListener("scroll", () => {
    if (!tip.hidden && text.matches(":hover")) unpoint();
  });
  text.addEventListener("blur", unpoint);
  text.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const climb = { PageDown: 1, PageUp: -1 }[event.key];
    let next;
    if (step) next = Math.max(0, Math.min(spans.length - 1, active + step));
    else if (climb) next = ranking[Math.max(0, (rankOf.get(active) || 0) - 1 + climb)];
    else if (event.key === "Escape") return unpoint();
    if (next === undefined) return undefined;
    event.preventDefault();
    return reveal(next);
  });

  function drawAll() {
    unpoint();
    state.view = Math.min(state.view, attribution().views.length - 1);
    drawControls();
    drawFacts();
    drawTokens();
    drawScores();
  }

  // ---- small things ---------------------------------------------------------------------

  function marks(ranges) {
    const found = new Set();
    for (const [start, end] of ranges) for (let i = start; i < end; i++) found.add(i);
    return found;
  }

  root.replaceChildren(box);
  drawAll();
  return state;

  function element(tag, className, parent, content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined) made.textContent = content;
    if (parent) parent.append(made);
    return made;
  }

  // A line break is drawn (by CSS, so that copied text stays the model's own) and kept.
  function writeToken(span, token) {
    const parts = escapeInvisible(token).split("\n");
    parts.forEach((part, index) => {
      if (index) {
        element("span", "ft-newline", span);
        span.append("\n");
      }
      if (part) span.append(part);
    });
  }

  function visible(token) {
    return escapeInvisible(token).replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ | $/g, "␣");
  }

  function escapeInvisible(token) {
    return token.replace(INVISIBLE, (c) => "⟨U+" + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
  }

  function clip(value, length) {
    return value.length > length ? value.slice(0, length - 1) + "…" : value;
  }

  function percent(share) {
    const hundredths = share * 100;
    if (hundredths !== 0 && Math.abs(hundredths) < 0.1) return "<0.1 %";
    return hundredths.toFixed(hundredths >= 99.95 ? 0 : 1) + " %";
  }
}

// Tokens that chat templates are made of; they get a dashed frame.
const SPECIAL = /^(<[|｜].*[|｜]>|<\/?s>|<(bos|eos|pad|unk|start_of_turn|end_of_turn)>|\[\/?INST\])$/;

// Controls, zero-width and direction marks would hide or reorder what the model read.
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
