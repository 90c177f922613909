// Choose what to explain among the generated tokens, by pointer or by keyboard.
//
// A click chooses the named part a token belongs to (a tool's name, an argument, the reasoning),
// else the sentence; with Alt the single token. A drag chooses exactly the tokens dragged over. A
// click in the prompt chooses the segment, to see what it influenced.

function ftPick(pane, viewer, act) {
  let from = -1; // where the pointer went down, among the generated tokens
  let to = -1;

  pane.addEventListener("pointerdown", (event) => {
    const position = positionOf(event.target);
    if (event.button !== 0 || position < viewer.written()) return;
    event.preventDefault(); // no text selection beside ours
    pane.focus({ preventScroll: true });
    pane.setPointerCapture(event.pointerId);
    from = to = position;
  });
  pane.addEventListener("pointermove", (event) => {
    if (from < 0) return;
    // The pointer is captured, so the event names the pane: look what lies under it.
    const position = positionOf(pane.getRootNode().elementFromPoint(event.clientX, event.clientY));
    if (position < viewer.written() || position === to) return;
    to = position;
    act.mark(ordered());
  });
  pane.addEventListener("pointercancel", cancel);
  pane.addEventListener("pointerup", (event) => {
    if (from < 0) return;
    const range = from === to ? ftPart(viewer, from, event.altKey) : ordered();
    from = to = -1;
    act.pick(range);
  });
  pane.addEventListener("click", (event) => {
    const position = positionOf(event.target);
    if (position < 0 || position >= viewer.written()) return;
    if (String(getSelection())) return; // the reader selected text to copy it
    const segment = viewer.segmentAt(position);
    if (segment) act.segment(segment);
  });

  function cancel() {
    from = to = -1;
    act.mark(null);
  }

  function ordered() {
    return [Math.min(from, to), Math.max(from, to) + 1];
  }

  function positionOf(node) {
    const span = node && node.closest ? node.closest(".ft-t") : null;
    return span && span.dataset.pos ? Number(span.dataset.pos) : -1;
  }
}

// The range a click on a generated token means.
function ftPart(viewer, position, single) {
  if (single) return [position, position + 1];
  const parts = viewer.parts().flatMap((part) => part.spans);
  const inside = parts.filter(([start, end]) => start <= position && position < end);
  if (inside.length) return inside.reduce((a, b) => (b[1] - b[0] < a[1] - a[0] ? b : a));
  return ftSentence(viewer, position);
}

// The sentence around a token, within its segment.
function ftSentence(viewer, position) {
  const { tokens } = viewer.sequence();
  const [, low, high] = viewer.tileAt(position);
  const ends = (token) => /[.!?。！？]["'”)\]]*\s*$|\n/.test(token);
  let start = position;
  while (start > low && !ends(tokens[start - 1])) start--;
  let end = position + 1;
  while (end < high && !ends(tokens[end - 1])) end++;
  return [start, end];
}
