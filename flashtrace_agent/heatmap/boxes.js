// The elements that the heat map is made of, empty but for what never changes.

function ftBoxes(note) {
  const box = ftElement("div", "ft");
  const head = ftElement("div", "ft-head", box);
  const controls = ftElement("div", "ft-controls", head);
  const facts = ftElement("div", "ft-facts", head);
  const main = ftElement("div", "ft-main", box);
  const pane = ftElement("div", "ft-text", main);
  const side = ftElement("aside", "ft-side", main);
  const legend = ftElement("div", "ft-legend", box);
  ftElement("p", "ft-note", box, note);
  pane.tabIndex = 0;
  pane.setAttribute("role", "group");
  pane.setAttribute(
    "aria-label",
    "Tokens of the prompt and the completion. Left and right arrows go from token to token, home and end " +
      "to the first and the last, page up and page down from rank to rank. Enter explains a generated part, " +
      "or shows what a segment of the prompt influenced; shift and the arrows mark several tokens."
  );
  side.setAttribute("aria-label", "Ranking");
  return { box, controls, facts, pane, side, legend };
}
