// Cut a token sequence into lines of at most `columns` cells.
//
// Lines are wrapped here and not by the browser, so that every line has the same height and the
// place of any token among 100,000 is known without drawing the others. A piece is a token, or
// the part of one that stands on one line.
//
// Returns {
//   pieces: [[position, text, endsWithBreak]],
//   first: [index of each line's first piece, and the number of pieces at the end],
//   tile: [index of the tile a line belongs to; -1 for the line that begins the completion],
//   lineOf: Int32Array, the first line of each token
// }

function ftLayout(tokens, tiles, columns) {
  const pieces = [];
  const first = [];
  const tile = [];
  const lineOf = new Int32Array(tokens.length);
  let used = 0; // cells taken on the current line
  let current = -1;

  function newLine() {
    first.push(pieces.length);
    tile.push(current);
    used = 0;
  }

  // Where the current line may be broken: before its last piece that begins with a space.
  function breakPoint() {
    for (let index = pieces.length - 1; index > first[first.length - 1]; index--) {
      if (/^\s/.test(pieces[index][1])) return index;
    }
    return -1;
  }

  function place(position, text) {
    let width = ftCells(text);
    while (width > columns) {
      if (used) newLine();
      const cut = Math.max(1, ftFitting(text, columns));
      pieces.push([position, text.slice(0, cut), false]);
      used = columns;
      text = text.slice(cut);
      width = ftCells(text);
      newLine();
    }
    if (used + width > columns) {
      const at = /^\s/.test(text) ? -1 : breakPoint();
      if (at < 0) {
        newLine();
      } else {
        newLine();
        first[first.length - 1] = at;
        used = pieces.slice(at).reduce((sum, piece) => sum + ftCells(piece[1]), 0);
        if (used + width > columns) newLine();
      }
    }
    pieces.push([position, text, false]);
    used += width;
  }

  let completion = false;
  tiles.forEach(([, start, end, message], index) => {
    if (message === -1 && !completion) {
      completion = true;
      current = -1;
      newLine();
    }
    current = index;
    newLine();
    for (let position = start; position < end; position++) {
      const parts = ftEscape(tokens[position]).split("\n");
      parts.forEach((part, number) => {
        if (part || parts.length === 1 || number < parts.length - 1) place(position, part);
        if (number < parts.length - 1) {
          pieces[pieces.length - 1][2] = true;
          newLine();
        }
      });
    }
    if (pieces.length === first[first.length - 1] && end > start) {
      first.pop(); // the tile ended with a line break
      tile.pop();
    }
  });
  first.push(pieces.length);
  for (let line = tile.length - 1; line >= 0; line--) {
    for (let index = first[line]; index < first[line + 1]; index++) lineOf[pieces[index][0]] = line;
  }
  return { pieces, first, tile, lineOf };
}

function ftCells(text) {
  const wide = text.match(WIDE);
  const tabs = text.match(/\t/g);
  return text.length + (wide ? wide.length : 0) + (tabs ? 3 * tabs.length : 0);
}

// How many characters from the start of `text` fit into `columns` cells; keeps surrogates together.
function ftFitting(text, columns) {
  let cells = 0;
  let index = 0;
  while (index < text.length) {
    const size = text.codePointAt(index) > 0xffff ? 2 : 1;
    const width = ftCells(text.slice(index, index + size));
    if (cells + width > columns) break;
    cells += width;
    index += size;
  }
  return index;
}
