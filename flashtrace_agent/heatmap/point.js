// The token under the pointer or the keyboard: it is framed, and the tip says what is known about it.

function ftPoint(pane, viewer, tip) {
  let active = -1;

  function spanOf(position) {
    return position < 0 ? null : pane.querySelector('.ft-t[data-pos="' + position + '"]');
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

  function flash(position) {
    point(position);
    const span = spanOf(position);
    if (span) span.classList.add("ft-flash");
  }

  function unpoint() {
    const span = spanOf(active);
    if (span) span.classList.remove("ft-active");
    tip.hide();
  }

  pane.addEventListener("pointerover", (event) => {
    const span = event.target.closest(".ft-t");
    if (span && !viewer.marked()) point(Number(span.dataset.pos));
    else unpoint();
  });
  pane.addEventListener("pointerleave", unpoint);
  pane.addEventListener("scroll", () => {
    if (tip.visible() && pane.matches(":hover")) unpoint();
  });
  pane.addEventListener("blur", unpoint);
  return { active: () => active, flash, unpoint };
}
