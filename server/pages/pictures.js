/** Pictures that are dropped, pasted or chosen: a card each, asked about two at a time. */

import { Labels, Times, inOneLine } from "./answer.js";
import { paint } from "./heat.js";
import { chosen, key, predictUrl, wantsHeat, whenChanged } from "./models.js";
import { $, GONE, failure, inWords, make, makeRoom, ms, on, parsed, plural, quantile, say, size } from "./page.js";

const AT_ONCE = 2;
const ANSWER_WITHIN_MS = 60000;
const items = new Set();

/** Runs jobs in order, `limit` at a time. Jobs don't reject. */
function lane(limit) {
  const waiting = [];
  let running = 0;
  const next = () => {
    while (running < limit && waiting.length) {
      running += 1;
      waiting.shift()().finally(() => { running -= 1; next(); });
    }
  };
  return (job) => { waiting.push(job); next(); };
}
const askLane = lane(AT_ONCE);
const thumbLane = lane(1);

/** Queue pictures; the newest drop stands first, in the order it was given. */
function take(files) {
  if (!files.length) return;
  const added = [...files].map((file) => {
    const card = $("card").content.firstElementChild.cloneNode(true);
    const [image, heat, answer, name, about] = ["img", ".heat", ".answer", ".name", ".size"].map((part) => card.querySelector(part));
    name.textContent = name.title = card.ariaLabel = file.name || "pasted picture";
    about.textContent = size(file.size);
    return { file, card, image, heat, answer, about, stop: new AbortController() };
  });
  $("results").hidden = false;
  makeRoom();
  $("cards").prepend(...added.map((item) => item.card));
  for (const item of added) {
    items.add(item);
    thumbLane(() => thumbnail(item));
    enqueue(item);
  }
  summarise();
}

function enqueue(item) {
  item.state = "waiting";
  item.answer.replaceChildren(make("p", "waiting", "Waiting for its turn"));
  askLane(() => ask(item));
}

/** A small copy: a thousand photos don't fill the memory. */
async function thumbnail(item) {
  if (!items.has(item)) return;
  try {
    const bitmap = await createImageBitmap(item.file, { resizeWidth: 720, resizeQuality: "medium" });
    const canvas = Object.assign(make("canvas"), { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    const url = URL.createObjectURL(await new Promise((done) => canvas.toBlob(done, "image/webp", 0.85)));
    item.image.onload = item.image.onerror = (event) => {
      URL.revokeObjectURL(url);
      item.image.hidden = event.type === "error";
    };
    item.image.src = url;
  } catch { /* this browser can't show the format: the server may still read it */ }
}

/** One picture: its answer, or what went wrong in words. Never rejects. */
async function ask(item) {
  if (!items.has(item)) return;
  item.answer.replaceChildren(make("p", "waiting asking", "Looking"));
  const model = chosen();
  try {
    const bytes = await item.file.arrayBuffer().catch(() => { throw failure("The browser can’t read this file. Is it a folder?"); });
    const { reply, text, roundTrip } = await send(item, bytes);
    const body = parsed(text);
    const error = body?.error ?? body?.results?.[0]?.error;
    if (!reply.ok || error || !body?.results?.[0]) {
      if (reply.status === 401 || reply.status === 403) $("key-row").hidden = false;
      throw failure(error?.message ?? inWords(reply), error?.code, error?.request_id);
    }
    item.roundTrip = roundTrip;
    item.state = "done";
    showAnswer(item, body, body.results[0]);
    showHeat(item, body.results[0], model);
  } catch (error) {
    if (!items.has(item)) return;
    item.state = "failed";
    showError(item, error);
  }
  summarise();
}

/** A busy server (429) is asked once more, when it said to. */
async function send(item, bytes) {
  const headers = { "Content-Type": "application/octet-stream", ...key() && { "X-API-Key": key() } };
  for (let tries = 1; ; tries += 1) {
    const timer = setTimeout(() => item.stop.abort("late"), ANSWER_WITHIN_MS);
    const started = performance.now();
    try {
      const reply = await fetch(predictUrl(), { method: "POST", headers, body: bytes, signal: item.stop.signal });
      const text = await reply.text();
      const roundTrip = performance.now() - started;
      if (reply.status !== 429 || tries === 2) return { reply, text, roundTrip };
      const seconds = Math.min(30, Number(reply.headers.get("Retry-After")) || 1);
      item.answer.replaceChildren(make("p", "waiting asking", `The server is busy: asking again in ${seconds} s`));
      await new Promise((done) => setTimeout(done, seconds * 1000));
    } catch {
      throw await whyNot(item, bytes.byteLength);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** No reply came: is the server gone, slow, or did it hang up on this picture? */
async function whyNot(item, bytes) {
  if (item.stop.signal.reason === "late") {
    item.stop = new AbortController();
    return failure(`No answer came within ${ANSWER_WITHIN_MS / 1000} s.`);
  }
  const alive = await fetch("/healthz").then(() => true, () => false);
  return failure(alive ? `The connection broke while this picture (${size(bytes)}) was sent; it may be larger than the server takes.` : GONE);
}

function showAnswer(item, body, result) {
  item.about.textContent = `${result.width} × ${result.height} · ${size(item.file.size)} · ${body.model} v${body.version}`;
  item.said = inOneLine(result);
  const told = `${ms(item.roundTrip)} round trip · batch of ${result.batch_size ?? 1}`;
  const times = new Times().show(result.timing_ms, body.timing_ms?.total ?? 0, told);
  item.answer.replaceChildren(new Labels().show(result).element, times.element);
}

async function showHeat(item, { class_activation: map, width, height }, model) {
  item.hasHeat = Boolean(map && model);
  item.heat.hidden = !item.hasHeat;
  if (item.hasHeat) await paint(item.heat, map, model.input, width, height);
}

function showError(item, { message, code, request }) {
  const box = make("div", "wrong");
  const retry = Object.assign(make("button", "small", "Try again"), { onclick: () => { enqueue(item); summarise(); item.card.focus(); } });
  item.said = message;
  box.append(make("p", "", message), ...code ? [make("p", "quiet", `${code} · request ${request}`)] : [], retry);
  item.answer.replaceChildren(box);
}

/** The tally; a screen reader hears it once, when all is answered. */
function summarise() {
  const all = [...items];
  const done = all.filter(({ state }) => state === "done");
  const failed = all.filter(({ state }) => state === "failed").length;
  const pending = all.length - done.length - failed;
  const facts = [(pending ? `${done.length + failed} of ` : "") + plural(all.length)];
  if (failed) facts.push(`${failed} failed`);
  if (done.length) facts.push(`${done.length > 1 ? "median round trip" : "round trip"} ${ms(quantile(done.map(({ roundTrip }) => roundTrip), 0.5))}`);
  $("summary").textContent = facts.join(" · ");
  if (!pending && all.length) say(all.length > 1 ? facts.join(", ") : all[0].said);
}

function clear() {
  const leaving = [...items];
  items.clear();
  leaving.forEach((item) => item.stop.abort("cleared"));
  $("cards").replaceChildren();
  $("results").hidden = true;
  makeRoom();
  say("Cleared.");
  $("files").focus();
}

function askAgain(which) {
  for (const item of items) if (which(item)) enqueue(item);
  summarise();
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files);
  if (!event.dataTransfer.files.length) $("hint").textContent = "That held no file: save the picture first, then drop it.";
});
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) event.preventDefault();
  take(event.clipboardData.files);
});
on("drop", "click", (event) => { if (!event.target.closest(".actions")) $("files").click(); });
on("files", "change", ({ target }) => { take(target.files); target.value = ""; });
on("again", "click", () => askAgain(({ state }) => state === "done" || state === "failed"));
on("clear", "click", clear);
whenChanged((why) => { if (why === "heat" && wantsHeat()) askAgain(({ state, hasHeat }) => state === "done" && !hasHeat); });
