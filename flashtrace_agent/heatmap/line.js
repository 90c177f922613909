// Draw one line of tokens, or a fold in its place. `before` is what stands above it.

function ftDrawLine(item, before, picture, open) {
  if (typeof item !== "number") return ftFoldLine(item, picture, open);
  return ftTokenLine(item, picture, before !== undefined && typeof before !== "number");
}

function ftTokenLine(line, picture, afterFold) {
  const { layout, tiles, tokens } = picture;
  const tile = layout.tile[line];
  if (tile < 0) return ftElement("div", "ft-line ft-divider", null, "completion");
  const [name] = tiles[tile];
  const plain = name === "template" || name === "";
  const row = ftElement("div", "ft-line" + (plain ? " ft-template" : ""));
  row.dataset.segment = name;
  if (!plain && picture.segment === name) row.classList.add("ft-chosen");
  const gutter = ftElement("div", "ft-gutter", row);
  const begins = line === 0 || layout.tile[line - 1] !== tile;
  if (!plain && (afterFold || (begins && !ftContinues(tiles, tile)))) {
    const share = picture.shares.get(name) || 0;
    ftElement("span", "ft-segment", gutter, name).title = name;
    if (share > 0) ftElement("span", "ft-share", gutter, ftPercent(share));
  }
  const body = ftElement("div", "ft-body", row);
  for (let index = layout.first[line]; index < layout.first[line + 1]; index++) {
    const [position, text, breaks] = layout.pieces[index];
    const span = ftElement("span", "ft-t", body, text);
    span.dataset.pos = String(position);
    if (breaks) ftElement("span", "ft-newline", span);
    const heat = picture.heat(position);
    if (heat >= 0.01) span.style.setProperty("--heat", heat.toFixed(3));
    if (SPECIAL.test(tokens[position])) span.classList.add("ft-special");
    if (position >= picture.written) span.classList.add("ft-generated");
    if (ftWithin(picture.through, position)) span.classList.add("ft-through");
    ftFrame(span, "ft-target", picture.target, position);
    ftFrame(span, "ft-pending", picture.pending, position);
    if (picture.marked) ftFrame(span, "ft-marked", [picture.marked], position);
    if (position === picture.active) span.classList.add("ft-active");
  }
  return row;
}

// Segments of one name in a row have one heading.
function ftContinues(tiles, tile) {
  let before = tile - 1;
  while (before >= 0 && (tiles[before][0] === "template" || tiles[before][0] === "")) before--;
  return before >= 0 && tiles[before][0] === tiles[tile][0];
}

function ftFoldLine(fold, picture, open) {
  const { layout, tiles } = picture;
  const row = ftElement("div", "ft-line ft-fold");
  const button = ftElement("button", "", row);
  button.type = "button";
  button.tabIndex = -1; // the arrow keys walk into it; hundreds of stops would stand before the ranking
  const names = new Set();
  for (let line = fold.from; line < fold.to; line++) {
    if (layout.tile[line] >= 0) names.add(tiles[layout.tile[line]][0]);
  }
  names.delete("template");
  const some = [...names].slice(0, 3).join(", ") + (names.size > 3 ? ", …" : "");
  const what = ftCount(fold.to - fold.from, "line") + " · " + ftPercent(fold.share);
  button.textContent = "⋯ " + what + (some ? " · " + some : "");
  button.title = "Show these lines";
  button.addEventListener("click", () => open(fold.from));
  return row;
}

function ftFrame(span, className, ranges, position) {
  for (const [start, end] of ranges) {
    if (position < start || position >= end) continue;
    span.classList.add(className);
    if (position === start) span.classList.add(className + "-first");
    if (position === end - 1) span.classList.add(className + "-last");
  }
}

function ftWithin(ranges, position) {
  return ranges.some(([start, end]) => start <= position && position < end);
}

// How many cells fit into a line of the pane, measured with the font it has.
function ftColumns(pane) {
  const line = ftElement("div", "ft-line", pane.querySelector(".ft-sheet"));
  line.style.visibility = "hidden";
  ftElement("div", "ft-gutter", line);
  const body = ftElement("div", "ft-body", line);
  const probe = ftElement("span", "", body, "0".repeat(100));
  const style = getComputedStyle(body);
  const inner = body.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const cell = probe.getBoundingClientRect().width / 100;
  line.remove();
  return cell ? Math.max(20, Math.floor(inner / cell) - 1) : 80;
}
