// The steps of a trace as a tree with a time line.
//
// data: {steps: [{id, parent, label, caption, took, kind, fault, start, length}], chosen}; a parent stands
// before its children; start and length are shares of the trace's time. A click, Enter or space chooses a step;
// the arrow keys go up and down, fold and unfold.

const folded = new WeakMap(); // root -> Set of ids of folded steps

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let root = parentElement.querySelector(".tree");
  if (!root) {
    root = document.createElement("div");
    root.className = "tree";
    parentElement.append(root);
    folded.set(root, new Set());
  }
  const held = root.contains(parentElement.activeElement || null);
  root.replaceChildren();
  root.setAttribute("role", "tree");
  root.setAttribute("aria-label", "Steps");
  const closed = folded.get(root);
  const byId = new Map(data.steps.map((step) => [step.id, step]));
  const parents = new Set(data.steps.map((step) => step.parent));
  const rows = new Map();

  for (const step of data.steps) {
    const row = element("div", "row " + step.kind + (step.fault ? " fault" : ""), root);
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", String(depth(step) + 1));
    row.setAttribute("aria-selected", String(step.id === data.chosen));
    row.style.setProperty("--depth", String(depth(step)));
    const head = element("div", "head", row);
    const fold = element("span", "fold", head, parents.has(step.id) ? "▾" : "");
    fold.setAttribute("aria-hidden", "true");
    element("span", "label", head, step.label).title = step.label;
    element("span", "took", head, step.took);
    if (step.fault) element("span", "mark", head, "✕").title = step.fault;
    element("div", "caption", row, step.fault || step.caption);
    const line = element("div", "line", row);
    const bar = element("span", "bar", line);
    bar.style.left = 100 * step.start + "%";
    bar.style.width = 100 * step.length + "%";
    fold.addEventListener("click", (event) => {
      if (!parents.has(step.id)) return;
      event.stopPropagation();
      toggle(step.id);
    });
    row.addEventListener("click", () => choose(step.id));
    rows.set(step.id, row);
  }
  show();
  if (held && rows.has(data.chosen)) rows.get(data.chosen).focus();

  root.onkeydown = (event) => {
    const seen = data.steps.filter((step) => !hidden(step));
    const current = seen.findIndex((step) => rows.get(step.id) === parentElement.activeElement);
    if (current < 0) return;
    const step = seen[current];
    const next = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: seen.length - 1 }[event.key];
    if (next !== undefined) {
      const target = seen[Math.max(0, Math.min(seen.length - 1, next))];
      rows.get(target.id).focus();
    } else if (event.key === "Enter" || event.key === " ") choose(step.id);
    else if (event.key === "ArrowLeft" && parents.has(step.id) && !closed.has(step.id)) toggle(step.id);
    else if (event.key === "ArrowLeft" && rows.has(step.parent)) rows.get(step.parent).focus();
    else if (event.key === "ArrowRight" && closed.has(step.id)) toggle(step.id);
    else return;
    event.preventDefault();
  };

  function toggle(id) {
    if (!closed.delete(id)) closed.add(id);
    show();
  }

  function show() {
    let stop = byId.get(data.chosen); // where the tab key comes in: what is chosen, or what it is folded into
    while (hidden(stop)) stop = byId.get(stop.parent);
    for (const step of data.steps) {
      const row = rows.get(step.id);
      row.hidden = hidden(step);
      row.tabIndex = step === stop ? 0 : -1;
      if (!parents.has(step.id)) continue;
      row.setAttribute("aria-expanded", String(!closed.has(step.id)));
      row.querySelector(".fold").textContent = closed.has(step.id) ? "▸" : "▾";
    }
  }

  function hidden(step) {
    for (let up = byId.get(step.parent); up; up = byId.get(up.parent)) if (closed.has(up.id)) return true;
    return false;
  }

  function depth(step) {
    let count = 0;
    for (let up = byId.get(step.parent); up; up = byId.get(up.parent)) count++;
    return count;
  }

  function choose(id) {
    if (id !== data.chosen) setTriggerValue("chosen", id);
  }

  function element(tag, className, parent, content) {
    const made = document.createElement(tag);
    made.className = className;
    if (content !== undefined) made.textContent = content;
    parent.append(made);
    return made;
  }
}
