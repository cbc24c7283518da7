/** The camera's half of the page: frames go out one at a time; all else follows the answers. */

import { Labels, Times, inOneLine } from "./answer.js";
import { Shutter, cameras, eachFrame, inPlainWords, looksAtYou, openCamera } from "./camera.js";
import { Chart } from "./chart.js";
import { paint, sight } from "./heat.js";
import { chosen, key, loadModels, streamOptions, wantsHeat, whenChanged } from "./models.js";
import { $, calm, make, makeRoom, on, plural, quantile, say } from "./page.js";
import { Stream } from "./stream.js";

const FIGURES_OVER_MS = 2000;
const LABEL_STANDS_MS = 1500;   // a label is spoken once it stood so long …
const SPOKEN_EVERY_MS = 5000;   // … and no more often than this

const video = $("video");
const labels = new Labels();
const times = new Times();
const shutter = new Shutter();
const chart = new Chart($("chart"));
const stream = new Stream({ ready, event, lost });
$("live-answer").append(labels.element, times.element);

let session = null;  // {id, media, …} while the camera is on or asked for, {failed} or {paused} while it is not
let results = [];    // of the last seconds: {at, trip, server, timing}
let frames = [];     // of the last seconds: when one was there
let counts = {};     // of drops and errors, by reason
let latest = null;   // not on the page yet
let spoken = { at: 0 };

// ---- the camera, on and off

async function start(id = "") {
  const mine = session = { id };
  $("live").hidden = false;
  $("live").classList.remove("empty");
  $("camera").hidden = true;
  $("stop").focus({ preventScroll: true });
  makeRoom();
  untrouble();
  status("asking", "Asking for the camera…");
  try {
    const media = await openCamera(id);
    if (session !== mine) return release(media);
    mine.media = media;
    const [track] = media.getTracks();
    mine.id = track.getSettings().deviceId ?? id;
    track.onended = () => fail({ title: "The camera went away.", steps: ["Connect it again."] }, "NotFoundError");
    mirror(looksAtYou(track));
    video.srcObject = media;
    await video.play();
    await offerCameras();
  } catch (error) {
    if (session === mine) fail(inPlainWords(error), error.name);
    return;
  }
  if (session !== mine) return;
  status("asking", "Connecting…");
  mine.stopFrames = eachFrame(video, frame);
  mine.ticking = requestAnimationFrame(tick);
  stream.open(streamOptions(), key());
  mine.awake = await navigator.wakeLock?.request("screen").catch(() => null);  // a phone that watches stays awake
  if (session !== mine) mine.awake?.release();
}

async function offerCameras() {
  const found = await cameras();
  $("cameras").replaceChildren(...found.map(({ id, name }) => new Option(name, id, false, id === session?.id)));
  $("camera-row").hidden = found.length < 2;
}

/** Camera and stream end; the panel stays. */
function halt() {
  stream.close();
  session?.stopFrames?.();
  cancelAnimationFrame(session?.ticking);
  release(session?.media);
  session?.awake?.release();
  video.srcObject = null;
  [results, frames, latest] = [[], [], null];
}

const release = (media) => media?.getTracks().forEach((track) => track.stop());

function stop() {
  halt();
  session = null;
  counts = {};
  chart.clear();
  $("live").hidden = $("camera-row").hidden = true;
  $("camera").hidden = false;
  $("camera").focus();
  makeRoom();
  say("The camera is off.");
}

function fail(why, name) {
  halt();
  session = { failed: name };
  $("live").classList.add("empty");
  trouble(why, { "Try again": () => start(), Close: stop });
  $("trouble").querySelector("button").focus();
}

function visibility() {
  if (document.hidden && session?.media) {
    const { id } = session;
    halt();
    session = { id, paused: true };
    untrouble();
    status("paused", "Paused while this tab is hidden");
    say("Paused while this tab is hidden.");
  } else if (!document.hidden && session?.paused) {
    start(session.id);
  }
}

// ---- frames out, answers in

function frame() {
  session.fresh = performance.now();
  frames.push(session.fresh);
  pass();
}

/** Send what is seen now, if it is new and nothing is on its way. */
async function pass() {
  const mine = session;
  if (!mine.fresh || !stream.free || mine.encoding) return;
  const taken = mine.fresh;
  mine.fresh = 0;
  mine.encoding = true;
  const { height, width } = chosen()?.input ?? { height: 224, width: 224 };
  const picture = await shutter.take(video, 2 * Math.max(height, width));  // enough to average over
  mine.encoding = false;
  if (session !== mine || !stream.free || !picture) return;
  mine.sent = performance.now();
  stream.send(picture, taken);
}

function ready({ model, version }) {
  untrouble();
  status("on", "Live");
  if (!chosen()) loadModels().then(showSight);
  say(`Live: ${model}, version ${version}.`);
}

function event(told) {
  const now = performance.now();
  const { sent } = session;
  pass();
  if (told.type === "result") {
    const result = { at: now, trip: now - sent, server: told.age_ms, timing: told.timing_ms };
    results.push(result);
    chart.add(result);
    latest = told;
    showHeat(told);
    return;
  }
  const reason = told.reason ?? told.code;
  if (told.message) $("last-error").textContent = `${told.message} (${reason})`;
  if (told.seq === null) return;  // about an option, not a frame
  counts[reason] = (counts[reason] ?? 0) + 1;
  chart.drop(now);
}

function lost({ message, status: number, seconds }) {
  status("waiting", "Not connected");
  $("live-heat").hidden = true;
  const isKey = number === 401 || (number === 403 && key());
  const step = isKey ? "Enter the key in the field above: it is sent to this server only."
    : seconds ? `Trying again in ${Math.max(1, Math.round(seconds))} s.`
    : `${number === 404 ? "Choose another model" : "Put that right"}, or “Try again”.`;
  trouble({ title: message, steps: [step] }, { [seconds ? "Try now" : "Try again"]: () => stream.open(streamOptions(), key()) });
  if (!isKey) return;
  $("key-row").hidden = false;
  $("key").focus();
}

async function showHeat({ class_activation: map, width, height }) {
  $("live-heat").hidden = !map || !wantsHeat();
  if (map) await paint($("live-heat"), map, chosen().input, width, height);
}

// ---- on the page

function status(kind, text) {
  $("state").dataset.kind = kind;
  $("state").textContent = text;
  document.title = `${kind === "paused" ? "Paused · " : ""}Quickeye playground`;
}

function trouble({ title, steps, code }, actions) {
  const list = make("ul");
  list.append(...steps.map((step) => make("li", "", step)));
  const row = make("div", "row");
  row.append(...Object.entries(actions).map(([name, onclick]) => Object.assign(make("button", "small", name), { onclick })));
  $("trouble").replaceChildren(make("p", "", title), list, ...code ? [make("code", "", code)] : [], row);
  $("trouble").hidden = false;
  say(`${title} ${steps.join(" ")}`);
}

function untrouble() {
  $("trouble").hidden = true;
  $("last-error").textContent = "";
}

function mirror(yes) {
  $("picture").classList.toggle("mirrored", yes);
  $("mirror").setAttribute("aria-pressed", yes);
}

/** Corners around what the model sees. */
function showSight() {
  const { videoWidth: width, videoHeight: height } = video;
  if (!width || !chosen()) return;
  $("picture").style.aspectRatio = `${width} / ${height}`;
  $("sight").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const [x, y, right, bottom] = sight(chosen().input, width, height);
  const frame = { x, y, width: right - x, height: bottom - y, "stroke-width": width / 250 };
  for (const [name, value] of Object.entries(frame)) $("sight").firstElementChild.setAttribute(name, value);
}

/** At most so often: text that flickers can't be read. */
const every = (period, act) => {
  let last = -Infinity;
  return (now) => {
    if (now - last < (calm.matches ? Math.max(period, 1000) : period)) return;
    last = now;
    act(now);
  };
};
const steps = [every(50, (now) => chart.draw(now)), every(150, showLatest), every(250, showFigures), every(5000, () => { $("chart-words").textContent = chart.inWords(); })];

function tick(now) {
  session.ticking = requestAnimationFrame(tick);
  steps.forEach((step) => step(now));
}

function showLatest(now) {
  if (!latest) return;
  const answer = latest;
  latest = null;
  labels.show(answer);
  const label = answer.unknown ? "unknown" : answer.predictions[0]?.label;
  if (label !== spoken.label) spoken = { ...spoken, label, since: now };
  if (!label || label === spoken.told || now - spoken.since < LABEL_STANDS_MS || now - spoken.at < SPOKEN_EVERY_MS) return;
  spoken = { ...spoken, told: label, at: now };
  say(inOneLine(answer));
}

const rate = (moments, now) => moments.length < 2 ? 0 : moments.length / Math.max(0.5, (now - moments[0]) / 1000);

function showFigures(now) {
  results = results.filter(({ at }) => at > now - FIGURES_OVER_MS);
  frames = frames.filter((at) => at > now - FIGURES_OVER_MS);
  const middle = (of) => quantile(results.map(of), 0.5);
  const figures = {
    fps: rate(results.map(({ at }) => at), now).toFixed(1),
    "camera-fps": `of ${Math.round(rate(frames, now))} by the camera`,
    trip: results.length ? middle(({ trip }) => trip).toFixed(0) : "–",
    server: results.length ? middle(({ server }) => server).toFixed(0) : "–",
    dropped: Object.values(counts).reduce((sum, n) => sum + n, 0),
    reasons: Object.entries(counts).map(([reason, n]) => `${n} ${reason.replaceAll("_", " ")}`).join(" · ") || "none so far",
  };
  for (const [name, text] of Object.entries(figures)) $(name).textContent = text;
  if (!results.length) return;
  const timing = Object.fromEntries(Object.keys(results[0].timing).map((name) => [name, middle((each) => each.timing[name])]));
  times.show(timing, 0, `median of ${plural(results.length, "frame")}`);
}

// ---- events

on("camera", "click", () => start());
on("stop", "click", stop);
on("mirror", "click", () => mirror($("mirror").getAttribute("aria-pressed") !== "true"));
on("cameras", "change", ({ target }) => { halt(); start(target.value); });
on("video", "resize", showSight);
on("settings", "input", showSight);
document.addEventListener("visibilitychange", visibility);
navigator.mediaDevices?.addEventListener?.("devicechange", () => {
  if (session?.failed === "NotFoundError") start(); else if (session?.media) offerCameras();
});
whenChanged((why) => {
  if (!session?.media) return;
  if (stream.isReady && why !== "key") stream.change(streamOptions()); else stream.open(streamOptions(), key());
});
