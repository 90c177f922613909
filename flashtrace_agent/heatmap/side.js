// The rankings beside the text: segments, tokens, and what a chosen segment influenced.

function ftSide(side, viewer, act) {
  side.replaceChildren();
  const current = viewer.view();
  const item = viewer.attribution();
  if (viewer.isBlank()) {
    ftElement("h3", "", side, "Nothing explained yet");
    const how = "Click a part of what the model wrote, or drag over its tokens: what they came from lights up.";
    ftElement("p", "ft-empty", side, how);
    return;
  }
  if (viewer.state.segment !== null) ftInfluence(side, viewer, act);
  if (current.remaining_mass !== null) {
    const line = ftElement("p", "ft-remaining", side);
    ftElement("strong", "", line, ftPercent(current.remaining_mass));
    line.append(" of the influence still stands on the reasoning after this hop.");
  }
  heading("Segments");
  const found = current.segments.filter((segment) => segment[1] > 0); // the rest are no sources
  if (!found.length) ftElement("p", "ft-empty", side, "No named segment holds any of the score.");
  const list = ftElement("ol", "ft-ranking ft-segments", side);
  for (const [name, share, count] of found) {
    const row = ftRow(list, name, share, share / found[0][1], () => act.segment(name));
    row.dataset.segment = name;
    row.title = ftCount(count, "token") + ". Click to go there and see what it influenced.";
    row.setAttribute("aria-pressed", String(viewer.state.segment === name));
  }
  heading("Strongest tokens");
  const top = ftElement("ol", "ft-ranking ft-tokens", side);
  const { ranking } = viewer;
  for (const position of ranking.slice(0, 10)) {
    const score = current.scores[position];
    const text = ftVisible(viewer.sequence().tokens[position]);
    const row = ftRow(top, text, score / current.total, score / current.scores[ranking[0]], () =>
      act.token(position)
    );
    const segment = viewer.segmentAt(position);
    row.title = "Token " + position + (segment ? " in " + segment : "");
  }

  function heading(text) {
    const made = ftElement("h3", "", side, text);
    ftTrust(ftElement("span", "ft-trust", made), item);
  }
}

// The reverse view: of all targets known, which drew on this segment, and how much?
function ftInfluence(side, viewer, act) {
  const name = viewer.state.segment;
  const box = ftElement("section", "ft-influence", side);
  const head = ftElement("h3", "", box, "What it influenced");
  const close = ftElement("button", "ft-close", head, "×");
  close.type = "button";
  close.setAttribute("aria-label", "Close what " + name + " influenced");
  close.addEventListener("click", () => act.segment(null));
  ftElement("p", "ft-influence-name", box, name);
  const found = viewer
    .influence()
    .map((target) => ({ ...target, share: target.shares[name] || 0 }))
    .sort((a, b) => b.share - a.share);
  const some = found.filter((target) => target.share > 0);
  if (!some.length) {
    const how = ftCount(found.length, "target");
    ftElement("p", "ft-empty", box, "None of the " + how + " explained so far drew on it.");
    return;
  }
  const list = ftElement("ol", "ft-ranking", box);
  for (const target of some.slice(0, 40)) {
    const label = (target.where ? target.where + " · " : "") + target.name;
    const row = ftRow(list, label, target.share, target.share, () => act.go(target));
    row.title = (target.text ? "“" + ftClip(ftVisible(target.text), 120) + "”. " : "") + "Click to explain it.";
    row.setAttribute("aria-current", String(Boolean(target.shown)));
  }
  const rest = found.length - some.length;
  if (rest) ftElement("p", "ft-empty", box, ftCount(rest, "further target") + " did not.");
}

function ftRow(list, name, share, width, act) {
  const row = ftElement("button", "ft-row", ftElement("li", "", list));
  row.type = "button";
  row.style.setProperty("--share", String(width));
  ftElement("span", "ft-name", row, name);
  ftElement("span", "ft-number", row, ftPercent(share));
  ftElement("span", "ft-bar", row);
  row.addEventListener("click", act);
  return row;
}
