// The controls above the text and the facts about what is shown.
//
// Each function fills `holder` from `viewer` (see viewer.js) and calls back when the reader acts.

function ftControls(holder, viewer, changed) {
  holder.replaceChildren();
  const { data, state } = viewer;
  if (data.attributions.length > 1) {
    const select = ftElement("select", "", ftElement("label", "ft-control", holder, "Target"));
    data.attributions.forEach((item, index) => {
      const option = ftElement("option", "", select, item.name + " · " + ftClip(item.text, 48));
      option.value = String(index);
      option.selected = index === state.attribution;
    });
    select.addEventListener("change", () => {
      changed.attribution(Number(select.value));
      holder.querySelector("select").focus();
    });
  }
  if (!viewer.isBlank()) ftPictureControls(holder, viewer, changed);
  const find = ftElement("input", "ft-find", holder);
  find.type = "search";
  find.placeholder = "Find in the text";
  find.setAttribute("aria-label", "Find in the text; Enter goes to the next place");
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !find.value) return;
    find.setAttribute("aria-invalid", String(!changed.find(find.value, event.shiftKey)));
  });
  find.addEventListener("input", () => find.removeAttribute("aria-invalid"));
}

// What shows the scores one way or another.
function ftPictureControls(holder, viewer, changed) {
  const { state } = viewer;
  ftHopControl(holder, viewer, changed);
  const contrast = ftRange(holder, "Contrast", 0, 100, state.contrast, (value) => {
    state.contrast = value;
    changed.contrast();
  });
  contrast.title = "Right: weak scores show more. Left: only the strongest show.";
  const fold = ftElement("label", "ft-control ft-check", holder);
  const box = ftElement("input", "", fold);
  box.type = "checkbox";
  box.checked = viewer.folds();
  fold.append("Fold cold lines");
  fold.title = "Hide runs of lines that together hold at most 5 % of the score.";
  box.addEventListener("change", () => {
    state.fold = box.checked;
    changed.fold();
  });
}

// Hops from left to right as the recursion made them, the final score at the right end.
function ftHopControl(holder, viewer, changed) {
  const views = viewer.attribution().views;
  if (views.length < 2) return;
  const order = [...views.keys()].slice(1).concat(0);
  const range = ftRange(holder, "Hop", 0, order.length - 1, order.indexOf(viewer.state.view), (value) => {
    viewer.state.view = order[value];
    say();
    changed.view();
  });
  range.classList.add("ft-hop");
  const said = ftElement("output", "ft-hop-name", range.parentElement);
  function say() {
    const view = views[viewer.state.view];
    said.textContent = view.label;
    range.title = view.help;
    range.setAttribute("aria-valuetext", view.label);
  }
  say();
}

function ftRange(holder, name, min, max, value, act) {
  const range = ftElement("input", "", ftElement("label", "ft-control", holder, name));
  range.type = "range";
  range.min = String(min);
  range.max = String(max);
  range.value = String(value);
  range.addEventListener("input", () => act(Number(range.value)));
  return range;
}

function ftFacts(holder, viewer) {
  holder.replaceChildren();
  const item = viewer.attribution();
  if (!viewer.isBlank()) fact("target", ftClip(item.name, 80), "“" + ftClip(ftVisible(item.text), 160) + "”");
  ftTrust(holder, item);
  if (item.method) fact("method", item.method, "");
  if (item.model) fact("model", ftClip(item.model, 80), "");
  fact("tokens", viewer.sequence().tokens.length.toLocaleString("en"), "");

  function fact(name, value, more) {
    const made = ftElement("span", "ft-fact", holder);
    ftElement("span", "ft-fact-name", made, name);
    ftElement("span", "ft-fact-value", made, value);
    if (more) ftElement("span", "ft-fact-more", made, more);
  }
}

// How far the numbers can be trusted; stands wherever numbers stand.
function ftTrust(holder, item) {
  const fidelity = ftElement("span", "ft-fact ft-fidelity ft-fidelity-" + item.fidelity, holder);
  ftElement("span", "ft-fact-name", fidelity, "fidelity");
  ftElement("span", "ft-fact-value", fidelity, item.fidelity);
  fidelity.title = item.fidelity_help;
  if (!item.check) return;
  const check = ftElement("span", "ft-fact ft-verdict ft-verdict-" + item.check.verdict, holder);
  ftElement("span", "ft-fact-name", check, "check");
  ftElement("span", "ft-fact-value", check, item.check.verdict);
  check.title = item.check.help;
}

function ftLegend(holder, viewer, strongest, power) {
  holder.replaceChildren();
  if (viewer.isBlank()) return;
  const scale = ftElement("span", "ft-scale", holder);
  for (let i = 0; i <= 12; i++) {
    ftElement("span", "ft-step", scale).style.setProperty("--heat", Math.pow(i / 12, power).toFixed(3));
  }
  const most = ftPercent(strongest / viewer.view().total);
  ftElement("span", "", holder, "0 to " + most + " of the score in one token");
  key("ft-target ft-target-first ft-target-last", "target", "what is being explained");
  if (viewer.attribution().through.length) {
    key("ft-through", "words", "what the recursion passed through");
  }

  function key(className, sample, meaning) {
    const made = ftElement("span", "ft-key", holder);
    ftElement("span", "ft-t " + className, made, sample);
    ftElement("span", "", made, meaning);
  }
}
