// Fold away the lines that matter least, so that a long prompt shows its few warm places.
//
// Cold are the weakest lines that together hold at most COLD of the score. They are folded where
// MIN or more follow each other; a line next to a warm one stays, as its context.
//
// Returns what to show: a line's number, or {from, to, share} for lines [from, to).

const FT_COLD = 0.05;
const FT_MIN_FOLD = 6;

function ftFold(layout, scores, total, keep, opened) {
  const count = layout.tile.length;
  const mass = new Float64Array(count);
  for (let line = 0; line < count; line++) {
    // A token on two lines counts for both: it must keep both warm.
    for (let index = layout.first[line]; index < layout.first[line + 1]; index++) {
      mass[line] += scores[layout.pieces[index][0]] || 0;
    }
  }
  const order = Array.from(mass.keys()).sort((a, b) => mass[a] - mass[b]);
  const cold = new Uint8Array(count);
  let sum = 0;
  for (const line of order) {
    sum += mass[line];
    if (sum > FT_COLD * total) break;
    cold[line] = 1;
  }
  for (const line of keep) cold[line] = 0;
  const warm = Uint8Array.from(cold, (value, line) =>
    value && (line === 0 || cold[line - 1]) && (line === count - 1 || cold[line + 1]) ? 0 : 1
  );
  const shown = [];
  for (let line = 0; line < count; ) {
    let end = line;
    while (end < count && !warm[end]) end++;
    if (end - line < FT_MIN_FOLD || opened.has(line)) {
      if (end === line) end++;
      for (; line < end; line++) shown.push(line);
      continue;
    }
    let share = 0;
    for (let each = line; each < end; each++) share += mass[each];
    shown.push({ from: line, to: end, share: total ? share / total : 0 });
    line = end;
  }
  return shown;
}
