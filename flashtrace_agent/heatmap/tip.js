// What is known about the token under the pointer or the keyboard.

function ftTip(box, viewer) {
  const tip = ftElement("div", "ft-tip", box);
  tip.setAttribute("role", "tooltip");
  tip.setAttribute("aria-live", "polite"); // said as the keyboard goes from token to token
  tip.id = viewer.uid + "-tip";
  tip.hidden = true;

  return {
    id: tip.id,
    hide: () => (tip.hidden = true),
    visible: () => !tip.hidden,
    show(position, span) {
      const view = viewer.view();
      const score = view.scores[position];
      const rank = viewer.rankOf(position);
      tip.replaceChildren();
      ftElement("div", "ft-tip-text", tip, ftVisible(viewer.sequence().tokens[position]));
      const rows = [
        ["position", String(position)],
        ["segment", viewer.segmentAt(position)],
        ["score", score ? score.toPrecision(3) + " (" + ftPercent(score / view.total) + ")" : "0"],
        ["rank", rank ? rank + " of " + viewer.ranking.length : "none"],
        ["fidelity", viewer.attribution().fidelity],
        ["check", viewer.attribution().check ? viewer.attribution().check.verdict : ""],
      ];
      for (const [name, value] of rows) {
        if (!value) continue;
        const row = ftElement("div", "ft-tip-row", tip);
        ftElement("span", "", row, name);
        ftElement("span", "", row, value);
      }
      const hint = viewer.hint(position);
      if (hint) ftElement("div", "ft-tip-hint", tip, hint);
      tip.hidden = false;
      const place = span.getClientRects()[0] || span.getBoundingClientRect();
      const frame = box.getBoundingClientRect();
      const left = Math.min(place.left - frame.left, frame.width - tip.offsetWidth - 4);
      const below = place.bottom - frame.top + 6;
      const above = place.top - frame.top - tip.offsetHeight - 6;
      const fits = place.bottom + tip.offsetHeight + 12 < window.innerHeight;
      tip.style.left = Math.max(left, 0) + "px";
      tip.style.top = (fits || above < 0 ? below : above) + "px";
    },
  };
}
