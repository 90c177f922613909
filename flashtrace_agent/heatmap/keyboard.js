// Walk the text and choose by keyboard: what pointing, clicking and dragging do, without a pointer.
//
// Left and right: the token before and after. Home and end: the first and the last. Page up and page down:
// the next stronger and weaker.
// Shift and left or right: mark generated tokens. Enter: explain what is marked, or the part at
// hand (Alt: the token alone); in the prompt, show what the segment influenced. Escape: let go.

function ftKeyboard(pane, viewer, reader) {
  let anchor = -1; // where marking began

  pane.addEventListener("keydown", (event) => {
    if (event.target !== pane) return undefined; // a fold's button
    const active = reader.active();
    if (event.key === "Escape") {
      anchor = -1;
      reader.unpoint();
      return reader.act.mark(null);
    }
    if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      anchor = -1;
      if (active < viewer.written()) return reader.act.segment(viewer.segmentAt(active));
      return reader.act.pick(viewer.marked() || ftPart(viewer, active, event.altKey));
    }
    const next = target(event, active);
    if (next === undefined) return undefined;
    event.preventDefault();
    const step = Math.abs(next - active) === 1;
    if (event.shiftKey && step && active >= viewer.written() && next >= viewer.written()) {
      if (anchor < 0) anchor = active;
      reader.act.mark([Math.min(anchor, next), Math.max(anchor, next) + 1]);
    } else if (viewer.marked()) {
      anchor = -1;
      reader.act.mark(null);
    }
    return reader.reveal(next);
  });

  function target(event, active) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const climb = { PageDown: 1, PageUp: -1 }[event.key];
    const last = viewer.sequence().tokens.length - 1;
    if (step) return Math.max(0, Math.min(last, active + step));
    if (event.key === "Home") return 0;
    if (event.key === "End") return last;
    if (climb) return viewer.ranking[Math.max(0, (viewer.rankOf(active) || 0) - 1 + climb)];
    return undefined;
  }
}
