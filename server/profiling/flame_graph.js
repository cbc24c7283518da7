
"use strict";
const { about, frames, tree } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const WALL = 1, CPU = 2, SAMPLES = 3, CHILDREN = 4;
const ROW = 21, LEAST_PX = 1.5;
const time = (us) => us >= 1e6 ? `${(us / 1e6).toFixed(2)} s` : us >= 1e3 ? `${(us / 1e3).toFixed(1)} ms` : `${us} µs`;
const share = (part, whole) => `${(100 * part / (whole || 1)).toFixed(1)} %`;
const nameOf = (node) => frames[node[0]][0];
const placeOf = (node) => frames[node[0]][1] ? `${frames[node[0]][1]}:${frames[node[0]][2]}` : "";

let by = about.view === "wall" ? WALL : CPU;
let centre = tree;
let wanted = "";
const parents = new Map();
const boxes = new Map();

(function adopt(node, parent) {
  parents.set(node, parent);
  node[CHILDREN].sort((one, other) => nameOf(one).localeCompare(nameOf(other), "en", { numeric: true }));
  for (const child of node[CHILDREN]) adopt(child, node);
})(tree, null);

const lineage = (node) => node ? [...lineage(parents.get(node)), node] : [];
const threadOf = (node) => lineage(node)[1] ?? tree;
const matches = (node) => wanted !== "" && `${nameOf(node)} ${placeOf(node)}`.toLowerCase().includes(wanted);

/** Of all below a node, what lies in matching frames; one inside another counts once. */
const matching = (node) => matches(node) ? node[by] : node[CHILDREN].reduce((sum, child) => sum + matching(child), 0);

function inWords(node) {
  const wall = node[WALL], cpu = Math.min(node[CPU], wall || node[CPU]);
  const parts = [about.knows_cpu ? `on a CPU ${time(node[CPU])} (${share(node[CPU], tree[CPU])} of all)` : ""];
  if (wall) parts.push(`wall ${time(wall)}${about.knows_cpu ? `, waiting ${share(wall - cpu, wall)} of it` : ""}`);
  if (node[SAMPLES]) parts.push(`${node[SAMPLES].toLocaleString("en")} samples`);
  return parts.filter(Boolean).join(" · ");
}

function tell(node) {
  const name = Object.assign(document.createElement("b"), { textContent: nameOf(node) });
  $("told").replaceChildren(name, ` ${placeOf(node)} — ${inWords(node)}`);
}

function box(node, left, width, depth, isAbove) {
  const element = document.createElement("div");
  const [name, , , origin] = frames[node[0]];
  element.className = `${origin}${depth === 1 ? " thread" : ""}${isAbove ? " above" : ""}${matches(node) ? " found" : ""}`;
  element.textContent = width > 24 ? name : "";
  element.title = `${name}\n${placeOf(node)}\n${inWords(node)}`.replace("\n\n", "\n");
  element.setAttribute("role", "treeitem");
  element.setAttribute("aria-level", depth + 1);
  element.tabIndex = node === centre ? 0 : -1;
  element.style.setProperty("--run", by === CPU || !about.knows_cpu ? "100%" : share(node[CPU], Math.max(node[WALL], node[CPU])).replace(" ", ""));
  element.style.left = `${left}px`;
  element.style.top = `${depth * ROW}px`;
  element.style.width = `${width}px`;
  element.addEventListener("click", () => zoom(node));
  element.addEventListener("mouseenter", () => tell(node));
  element.addEventListener("focus", () => tell(node));
  element.addEventListener("keydown", (event) => steer(event, node));
  boxes.set(node, element);
  return element;
}

function draw() {
  const graph = $("graph"), whole = graph.clientWidth;
  const drawn = [];
  let deepest = 0;
  boxes.clear();
  const put = (node, left, width, depth) => {
    deepest = Math.max(deepest, depth);
    drawn.push(box(node, left, width, depth, false));
    let at = left;
    for (const child of node[CHILDREN]) {
      const part = node[by] ? width * child[by] / node[by] : 0;
      if (part >= LEAST_PX) put(child, at, part, depth + 1);
      at += part;
    }
  };
  const above = lineage(centre).slice(0, -1);
  above.forEach((node, depth) => drawn.push(box(node, 0, whole, depth, true)));
  put(centre, 0, whole, above.length);
  graph.style.height = `${(deepest + 1) * ROW}px`;
  graph.classList.toggle("seeking", wanted !== "");
  graph.replaceChildren(...drawn);
  $("whole").hidden = centre === tree;
  $("found").textContent = wanted ? `${share(matching(centre), centre[by])} of what is shown` : "";
}

function zoom(node) {
  centre = node;
  draw();
  boxes.get(node)?.focus({ preventScroll: true });
}

/** Arrows walk through the graph, Enter zooms, Escape shows all. */
function steer(event, node) {
  const parent = parents.get(node);
  const beside = parent ? parent[CHILDREN].filter((each) => boxes.has(each)) : [node];
  const at = beside.indexOf(node);
  const to = {
    ArrowUp: parent, ArrowLeft: beside[at - 1], ArrowRight: beside[at + 1],
    ArrowDown: node[CHILDREN].filter((each) => boxes.has(each)).sort((one, other) => other[by] - one[by])[0],
  }[event.key];
  if (to) boxes.get(to)?.focus();
  else if (event.key === "Enter" || event.key === " ") zoom(node);
  else return;
  event.preventDefault();
}

/** The functions with the most time of their own, thread by thread. */
function rank() {
  const sums = new Map();
  const visit = (node) => {
    const own = [WALL, CPU].map((kind) => node[kind] - node[CHILDREN].reduce((sum, child) => sum + child[kind], 0));
    const key = `${node[0]} ${threadOf(node)[0]}`;
    const sum = sums.get(key) ?? { node, wall: 0, cpu: 0 };
    sum.wall += own[0];
    sum.cpu += own[1];
    sums.set(key, sum);
    node[CHILDREN].forEach(visit);
  };
  visit(tree);
  const worth = ({ wall, cpu }) => by === CPU ? cpu : wall;
  const heaviest = [...sums.values()].filter((each) => worth(each) >= 1000).sort((one, other) => worth(other) - worth(one)).slice(0, 15);
  $("heaviest").replaceChildren(...heaviest.map(({ node, wall, cpu }) => {
    const row = document.createElement("tr");
    const place = Object.assign(document.createElement("small"), { textContent: ` ${placeOf(node)}` });
    const cells = [[nameOf(node), place], [nameOf(threadOf(node))], [about.knows_cpu ? time(cpu) : "–"], [wall > cpu ? time(wall - cpu) : "–"]];
    row.replaceChildren(...cells.map((texts) => {
      const cell = document.createElement("td");
      cell.replaceChildren(...texts);
      return cell;
    }));
    return row;
  }));
}

function introduce() {
  const { seconds, samples, process_cpu_s: process, sampler_cpu_s: own, ended_early: early, cut_samples: cut } = about;
  const parts = [
    `${seconds.toFixed(1)} s${early ? ", ended early" : ""}, ${samples.toLocaleString("en")} samples of every thread`,
    `the process had ${(process / seconds).toFixed(2)} cores, of which sampling took ${(own / seconds).toFixed(3)}`,
    about.knows_cpu ? "" : "this system does not tell the CPU time of threads",
    cut ? `${cut.toLocaleString("en")} samples had stacks beyond those that are kept` : "",
  ];
  $("about").textContent = `${parts.filter(Boolean).join("; ")}.`;
  $("views").hidden = !about.knows_cpu;
  document.querySelector(`[value=${by === CPU ? "cpu" : "wall"}]`).checked = true;
}

$("tools").addEventListener("submit", (event) => event.preventDefault());
$("views").addEventListener("change", ({ target }) => { by = target.value === "cpu" ? CPU : WALL; draw(); rank(); tell(centre); });
$("find").addEventListener("input", ({ target }) => { wanted = target.value.trim().toLowerCase(); draw(); });
$("whole").addEventListener("click", () => zoom(tree));
addEventListener("keydown", ({ key, target }) => { if (key === "Escape" && target !== $("find")) zoom(tree); });
addEventListener("resize", draw);
introduce();
draw();
rank();
tell(tree);
