/**
 * The last batches, drawn: a lane for each instance, a bar for each batch, its stages one after another. Above a bar, how long its
 * pictures waited; under it, how long the learned t(n) said that it would take. For who started the server with debug.
 */

import { $, GONE, failure, inWords, make, ms, parsed, plural, say } from "./page.js";

const STAGES = ["queue", "decode", "preprocess", "infer", "postprocess"];
const WINDOWS_MS = [200, 1000, 5000, 30000, 300000];
const SHOWN_AT_LEAST = 24;  // batches, when the page chooses the window
const WHY = {
  full: "as large as allowed",
  efficient: "a larger one would make no picture cheaper",
  probe: "a size beside the usual one was tried",
  bucket: "the next prepared size would have taken longer than two batches",
  shared: "the rest was left to free instances",
  deadline: "one more would have broken a deadline",
  empty: "nobody else waited",
  delay: "nobody else came in time",
};
const MARGIN = 0.01;  // of the window, after the last batch
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 };
const SVG = "http://www.w3.org/2000/svg";

let batches = [];
let current = null;

const section = Object.assign(make("section", "batches card"), { id: "batches" });
const title = Object.assign(make("h2", "", "Last batches"), { id: "batches-title" });
const shown = make("select");
const live = Object.assign(make("input"), { type: "checkbox" });
const adminKey = Object.assign(make("input"), { type: "password", autocomplete: "off" });
const refresh = make("button", "small", "Show");
const profile = make("button", "small", "Profile for 5 s");
const lanes = make("div", "lanes");
const detail = make("div", "one-batch");
const words = make("p", "quiet", "What the instances did lately, batch by batch.");

function labelled(text, control) {
  const label = make("label", "", text);
  label.append(control);
  return label;
}

/** One call with the admin key, or an error that says why not. */
async function ask(path) {
  const reply = await fetch(path, { headers: adminKey.value.trim() ? { "X-API-Key": adminKey.value.trim() } : {} });
  if (!reply.ok) throw failure(parsed(await reply.text())?.error?.message ?? inWords(reply));
  return reply;
}

const explain = (error) => { words.textContent = error instanceof TypeError ? GONE : error.message; };

async function load() {
  try {
    const told = await (await ask("/debug/batches")).json();
    batches = told.batches.map((batch) => ({ ...batch, at: batch.formed_at * 1000, end: batch.formed_at * 1000 + (batch.ended_ms ?? 0) }));
    refresh.textContent = "Refresh";
    words.textContent = batches.length ? "" : "No batch was run yet.";
    draw();
  } catch (error) {
    live.checked = false;
    explain(error);
  }
}

async function watch() {
  while (live.checked) {
    if (!document.hidden) await load();
    await new Promise((over) => setTimeout(over, 1000));
  }
}

async function takeProfile() {
  profile.disabled = true;
  profile.textContent = "Watching…";
  try {
    const address = URL.createObjectURL(await (await ask("/debug/profile?seconds=5")).blob());
    Object.assign(make("a"), { href: address, download: "quickeye-profile.html" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    words.textContent = "The profile was saved as quickeye-profile.html; open it from there.";
  } catch (error) {
    explain(error);
  }
  profile.disabled = false;
  profile.textContent = "Profile for 5 s";
}

/** The window in ms: as chosen, else the shortest that shows some batches. */
function windowMs(last) {
  if (shown.value) return Number(shown.value);
  const spans = batches.slice(0, SHOWN_AT_LEAST).map(({ at }) => last - at);
  return WINDOWS_MS.find((each) => each >= Math.max(...spans)) ?? Math.max(...spans);
}

const laneOf = ({ model, version, instance }) => `${model}/${version} instance ${instance}`;
const shape = (kind, attributes) => {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

function draw() {
  const newest = Math.max(...batches.map(({ end }) => end));
  const span = batches.length ? windowMs(newest) : 0;
  const last = newest + MARGIN * span;
  const seen = batches.filter(({ end }) => end >= last - span);
  const names = [...new Set(batches.map(laneOf))].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  lanes.replaceChildren(...names.flatMap((name) => {
    const svg = shape("svg", { role: "group", "aria-label": name });
    return [make("span", "", name), svg];
  }));
  if (!batches.length) return;
  const axis = make("div", "scale-of-time");
  const length = span < 1000 ? `${Math.round(span)} ms` : `${(span / 1000).toLocaleString("en", { maximumFractionDigits: 1 })} s`;
  const clock = (at) => new Date(at).toLocaleTimeString("en-GB", CLOCK);
  axis.append(...[clock(last - span), length, clock(last)].map((text) => make("span", "", text)));
  lanes.append(axis);
  const svgs = [...lanes.querySelectorAll("svg")];
  const perMs = svgs[0].clientWidth / span;
  for (const batch of [...seen].reverse()) {
    svgs[names.indexOf(laneOf(batch))].append(bar(batch, (at) => (at - (last - span)) * perMs));
  }
  const drawn = [...lanes.querySelectorAll("g")];
  drawn.forEach((each) => each.setAttribute("tabindex", -1));
  (lanes.querySelector("[aria-current]") ?? drawn.at(-1))?.setAttribute("tabindex", 0);
  tell(batches.find((batch) => current && batch.id === current.id && laneOf(batch) === laneOf(current)) ?? batches[0]);
}

/** One batch: what its pictures waited, its stages, how long it was expected to take; framed in red where pictures failed. */
function bar(batch, x) {
  const group = shape("g", { role: "button", "aria-label": summary(batch) });
  const piece = (className, from, to, y, height, least = 1) => {
    const left = x(batch.at + from), width = Math.max(least, x(batch.at + to) - left);
    group.append(shape("rect", { class: className, x: left.toFixed(2), y, width: width.toFixed(2), height }));
  };
  const end = batch.ended_ms ?? 0;
  for (const { arrived_ms: arrived } of batch.pictures) piece("waits", arrived, 0, 4, 5);
  piece(batch.errors ? "room bad" : "room", 0, end, 11, 22, batch.errors ? 3 : 1);
  let at = 0;
  for (const { timing_ms: times } of batch.pictures) {
    for (const stage of ["decode", "preprocess"]) {
      if (times[stage]) piece(stage, at, at + times[stage], 13, 18);
      at += times[stage];
    }
  }
  if (batch.run_ms !== null) piece("infer", batch.run_ms, batch.ran_ms ?? end, 13, 18);
  if (batch.ran_ms !== null) piece("postprocess", batch.ran_ms, end, 13, 18);
  piece("expected", 0, batch.predicted_ms, 35, 2);
  const hover = shape("title", {});
  hover.textContent = summary(batch);
  group.append(hover);
  group.addEventListener("click", () => choose(group, batch));
  group.addEventListener("mouseenter", () => tell(batch));
  group.addEventListener("focus", () => tell(batch));
  group.addEventListener("keydown", (event) => step(event, group));
  if (current && batch.id === current.id && laneOf(batch) === laneOf(current)) group.setAttribute("aria-current", "true");
  return group;
}

function choose(group, batch) {
  lanes.querySelector("[aria-current]")?.removeAttribute("aria-current");
  group.setAttribute("aria-current", "true");
  current = batch;
  tell(batch);
  say(summary(batch));
}

function step(event, group) {
  const to = { ArrowLeft: group.previousElementSibling, ArrowRight: group.nextElementSibling }[event.key];
  if (to) to.focus();
  else if (event.key === "Enter" || event.key === " ") group.dispatchEvent(new Event("click"));
  else return;
  event.preventDefault();
}

function summary(batch) {
  const measured = batch.measured_ms === null ? "not ended" : `took ${ms(batch.measured_ms)}`;
  const failed = batch.errors ? `, ${batch.errors} failed` : "";
  return `Batch ${batch.id} of ${laneOf(batch)}: ${plural(batch.size)}${failed}; ${WHY[batch.closed_by] ?? batch.closed_by}; ${measured}, expected ${ms(batch.predicted_ms)}; ${batch.left_waiting} left waiting`;
}

function tell(batch) {
  const table = make("table");
  const row = (tag, texts) => {
    const made = make("tr");
    made.append(...texts.map((text) => make(tag, "", text)));
    return made;
  };
  table.append(row("th", ["Picture", "Size", "Priority", ...STAGES, "total", "Outcome"]));
  for (const [at, picture] of batch.pictures.entries()) {
    const size = picture.width ? `${picture.width} × ${picture.height}` : "–";
    const times = STAGES.map((stage) => ms(picture.timing_ms[stage]));
    const outcome = picture.reused ? "not run: like the last" : picture.outcome;
    table.append(row("td", [`${at + 1}, ${picture.kind}`, size, String(picture.priority), ...times, ms(picture.total_ms), outcome]));
  }
  const scroll = make("div", "scroll");
  scroll.append(table);
  detail.replaceChildren(make("p", "", summary(batch)), scroll);
}

function legend() {
  const made = make("p", "legend quiet");
  const entry = (className, text) => {
    const one = make("span");
    one.append(make("i", className), text);
    return one;
  };
  made.append(...STAGES.map((stage) => entry(stage, stage === "queue" ? "waiting" : stage)), entry("bad", "failed"), entry("expected", "expected, by t(n)"));
  return made;
}

shown.append(new Option("as fits", ""), ...WINDOWS_MS.map((each) => new Option(each < 1000 ? `${each} ms` : each < 60000 ? `${each / 1000} s` : `${each / 60000} min`, each)));
const tools = make("div", "tools");
tools.append(title);
if (document.documentElement.dataset.debug === "key") tools.append(labelled("Admin key", adminKey));
tools.append(labelled("Last", shown), labelled("Live", live), refresh, profile);
section.setAttribute("aria-labelledby", "batches-title");
section.append(tools, words, lanes, legend(), detail);
$("said").before(section);
document.head.append(Object.assign(make("link"), { rel: "stylesheet", href: "/playground/batches.css" }));
refresh.addEventListener("click", load);
profile.addEventListener("click", takeProfile);
live.addEventListener("change", watch);
shown.addEventListener("change", draw);
addEventListener("resize", () => { if (batches.length) draw(); });
