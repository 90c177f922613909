// A trajectory as a Sankey diagram: sources on the left, the target on the right.
//
// data: what Trajectory.to_dict() returns, and `names`: the title of each step by its id. A click, Enter or
// space on a node chooses its step.
//
// 1. A node's column is its longest way to the target; what nothing leads to stands leftmost.
// 2. Columns are sorted so that few bands cross: by the mean place of their neighbours.
// 3. Heights are shares; what is thinner than a hair is drawn as a hair.

const GAP = 14;
const WIDE = 14;
const SWEEPS = 6;
const SVG = "http://www.w3.org/2000/svg";

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let root = parentElement.querySelector(".sankey");
  if (!root) {
    root = document.createElement("div");
    root.className = "sankey";
    parentElement.append(root);
  }
  root.flow = root.flow || "words";
  root.draw = () => draw(root, data, (step) => setTriggerValue("chosen", step));
  root.draw();
  if (root.watched) return;
  root.watched = true;
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    root.draw();
  }).observe(root);
}

function draw(root, data, choose) {
  root.replaceChildren();
  controls(root, data);
  const edges = data.edges.filter((edge) => edge.flow === root.flow);
  const nodes = place(data, edges, root.flow);
  if (!edges.length) {
    const text = document.createElement("p");
    text.textContent = "Nothing to draw: no tool result that the target drew on was fetched by a call of this run.";
    root.append(text);
    return;
  }
  const columns = [];
  for (const node of nodes) (columns[node.column] = columns[node.column] || []).push(node);
  const longest = Math.max(...columns.map((column) => column.length));
  const width = Math.max(root.clientWidth, 640);
  const height = Math.max(320, Math.min(900, longest * 46));
  sort(columns, edges, nodes);
  const fullest = Math.max(...columns.map((column) => column.reduce((sum, node) => sum + node.value, 0)));
  const scale = (height - GAP * (longest + 1)) / fullest;
  columns.forEach((column, index) => {
    let top = GAP;
    const used = column.reduce((sum, node) => sum + Math.max(node.value * scale, 2) + GAP, -GAP);
    top += (height - 2 * GAP - used) / 2;
    for (const node of column) {
      // Causes to the left: column 0 is the target.
      node.x = columns.length > 1 ? ((columns.length - 1 - index) / (columns.length - 1)) * (width - WIDE) : 0;
      node.y = top;
      node.h = Math.max(node.value * scale, 2);
      node.in = node.out = node.y;
      top += node.h + GAP;
    }
  });

  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group" }, root);
  picture.setAttribute("aria-label", "Where " + data.target + " came from");
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const sorted = [...edges].sort((a, b) => byId.get(a.target).y - byId.get(b.target).y);
  for (const edge of sorted) {
    const from = byId.get(edge.source);
    edge.from = from.out + (edge.mass * scale) / 2;
    from.out += edge.mass * scale;
  }
  sorted.sort((a, b) => byId.get(a.source).y - byId.get(b.source).y);
  for (const edge of sorted) {
    const [from, to] = [byId.get(edge.source), byId.get(edge.target)];
    const at = to.in + (edge.mass * scale) / 2;
    to.in += edge.mass * scale;
    const [x0, x1] = [from.x + WIDE, to.x];
    const middle = (x0 + x1) / 2;
    const path = `M${x0},${edge.from}C${middle},${edge.from} ${middle},${at} ${x1},${at}`;
    const band = svg("path", { d: path, class: "band " + from.kind, "stroke-width": Math.max(edge.mass * scale, 1) }, picture);
    svg("title", {}, band).textContent = `${from.label} → ${to.label}: ${percent(edge.mass)} of the target`;
  }
  for (const node of nodes) box(node);

  function box(node) {
    const group = svg("g", { class: "node " + node.kind, tabindex: 0, role: "button" }, picture);
    const where = node.column && data.names[node.step] ? " · " + data.names[node.step] : "";
    const said = `${node.label}${where}: ${percent(node.value)} of the target`;
    group.setAttribute("aria-label", said);
    const lines = [said, node.text && "“" + node.text + "”", node.words && "Strongest: " + node.words, node.note];
    svg("title", {}, group).textContent = lines.filter(Boolean).join("\n");
    svg("rect", { x: node.x, y: node.y, width: WIDE, height: node.h, rx: 2 }, group);
    const right = node.x + WIDE > width * 0.7;
    const text = svg("text", {
      x: right ? node.x - 6 : node.x + WIDE + 6,
      y: node.y + node.h / 2,
      "text-anchor": right ? "end" : "start",
    }, group);
    text.textContent = clip(node.label + where, 34) + "  " + percent(node.value);
    const act = () => choose(node.step || data.step);
    group.addEventListener("click", act);
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault(); // space would scroll
      act();
    });
  }
}

// Give the nodes that take part in a flow their value and column.
function place(data, edges, flow) {
  const byId = new Map(data.nodes.map((node) => [node.id, { ...node, column: 0 }]));
  const used = new Set(edges.flatMap((edge) => [edge.source, edge.target]));
  for (let round = 0; round < byId.size; round++) {
    let changed = false;
    for (const edge of edges) {
      const column = byId.get(edge.target).column + 1;
      if (byId.get(edge.source).column >= column || column >= byId.size) continue;
      byId.get(edge.source).column = column;
      changed = true;
    }
    if (!changed) break;
  }
  const nodes = [...byId.values()].filter((node) => used.has(node.id));
  const last = Math.max(0, ...nodes.map((node) => node.column));
  for (const node of nodes) {
    const given = sum(edges.filter((edge) => edge.source === node.id));
    const owed = sum(edges.filter((edge) => edge.target === node.id));
    node.value = Math.max(given, owed);
    if (!owed) node.column = last;
  }
  return nodes;

  function sum(list) {
    return list.reduce((total, edge) => total + edge.mass, 0);
  }
}

function sort(columns, edges, nodes) {
  const place = new Map();
  const note = () => columns.forEach((column) => column.forEach((node, i) => place.set(node.id, i / column.length)));
  columns.forEach((column) => column.sort((a, b) => b.value - a.value));
  note();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      const wish = new Map(column.map((node) => [node.id, mean(node.id)]));
      column.sort((a, b) => wish.get(a.id) - wish.get(b.id));
      note();
    }
  }

  function mean(id) {
    const near = edges.filter((edge) => edge.source === id || edge.target === id);
    const mass = near.reduce((total, edge) => total + edge.mass, 0) || 1;
    return near.reduce((total, edge) => total + edge.mass * place.get(edge.source === id ? edge.target : edge.source), 0) / mass;
  }
}

function controls(root, data) {
  const field = document.createElement("fieldset");
  field.setAttribute("aria-label", "What flows");
  const names = { words: "Whose words these are", choice: "Why the tools were called" };
  for (const [flow, title] of Object.entries(names)) {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "flow";
    radio.checked = root.flow === flow;
    radio.addEventListener("change", () => {
      root.flow = flow;
      root.draw();
      root.querySelector("input:checked").focus();
    });
    label.append(radio, title);
    field.append(label);
  }
  root.append(field);
}

function svg(tag, attributes, parent) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

function clip(text, length) {
  const characters = Array.from(text);
  return characters.length > length ? characters.slice(0, length - 1).join("") + "…" : text;
}

function percent(share) {
  return share > 0 && share < 0.001 ? "<0.1 %" : (100 * share).toFixed(1) + " %";
}
