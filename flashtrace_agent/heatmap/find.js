// Find words in the text: the browser's own search sees only the lines that are drawn.
//
// Returns the position of the token where the next match after `active` begins (before it, when
// going backwards), around the end; -1 where there is none. Case does not matter.

function ftFind(tokens, words, active, backwards) {
  const starts = [];
  let text = "";
  for (const token of tokens) {
    starts.push(text.length);
    text += token.toLowerCase(); // one by one: some letters are longer in lower case
  }
  const wanted = words.toLowerCase();
  let at;
  if (backwards) {
    at = active > 0 ? text.lastIndexOf(wanted, starts[active] - 1) : -1;
    if (at < 0) at = text.lastIndexOf(wanted);
  } else {
    at = text.indexOf(wanted, active >= 0 && active + 1 < tokens.length ? starts[active + 1] : 0);
    if (at < 0) at = text.indexOf(wanted);
  }
  if (at < 0) return -1;
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}
