/** Which model answers, how many labels, with which key; where the heat map is to be had. */

import { $, GONE, failure, inWords, on, parsed } from "./page.js";

let models = [];
const listeners = [];

/** Called with the reason ("model", "key", "heat") after a change that an answer depends on. */
export const whenChanged = (listener) => listeners.push(listener);
const changed = (why) => listeners.forEach((listener) => listener(why));

/** The catalogue's entry of the chosen model; undefined before the catalogue came. */
export const chosen = () => models[$("model").selectedIndex];
const topK = () => Math.min(1000, Math.max(1, Math.round(Number($("top-k").value) || 5)));
export const key = () => $("key").value.trim();
const explains = () => Boolean(chosen()?.outputs?.some(({ kind }) => kind === "class_activation"));
export const wantsHeat = () => explains() && $("heat").checked;

export function predictUrl() {
  const query = [topK() === 5 ? "" : `top_k=${topK()}`, wantsHeat() ? "explain=cam" : ""].filter(Boolean);
  return `${$("model").value}${query.length ? "?" : ""}${query.join("&")}`;
}

/** What a stream is asked for, in a query string or a config message. */
export function streamOptions() {
  const { name, version } = chosen() ?? {};
  const isOlder = $("model").value.includes("/versions/");
  return { ...name && { model: name }, version: isOlder ? version : null, top_k: topK(), explain: wantsHeat() ? "cam" : null };
}

export async function loadModels() {
  $("reload").hidden = true;
  try {
    const reply = await fetch("/v1/models");
    const body = parsed(await reply.text());
    if (!body?.models) throw failure(body?.error?.message ?? inWords(reply));
    if (!body.models.length) throw failure("No model is ready on this server yet.");
    models = body.models;
    offerModels(body.default);
  } catch (error) {
    $("about").textContent = error instanceof TypeError ? GONE : error.message;
    $("reload").hidden = false;
  }
  showCurl();
}

function offerModels(preferred) {
  const newest = new Map();
  for (const { name, version } of models) newest.set(name, Math.max(version, newest.get(name) ?? 0));
  $("model").replaceChildren(...models.map(({ name, version }) => {
    const isNewest = version === newest.get(name);
    const [text, place] = isNewest ? [name, ""] : [`${name}, version ${version}`, `/versions/${version}`];
    return new Option(text, `/v1/models/${encodeURIComponent(name)}${place}/predict`, false, isNewest && name === preferred);
  }));
  showChosen();
}

function showChosen() {
  const model = chosen();
  $("heat-row").hidden = !explains();
  document.body.classList.toggle("cold", !wantsHeat());
  if (!model) return;
  const { version, precision, engine, classes } = model;
  $("about").textContent = `version ${version} · ${precision} · ${engine.backend} on ${engine.device} · ${classes.toLocaleString("en")} classes`;
}

function showCurl() {
  const header = key() && '-H "X-API-Key: YOUR_KEY" ';
  $("curl").textContent = `curl ${header}--data-binary @photo.jpg "${location.origin}${predictUrl()}"`;
}

on("settings", "submit", (event) => { event.preventDefault(); changed("key"); });
on("settings", "input", () => { showChosen(); showCurl(); });
on("settings", "change", ({ target }) => {
  const why = { model: "model", "top-k": "model", key: "key", heat: "heat" }[target.id];
  if (why) changed(why);
});
on("reload", "click", loadModels);
on("copy", "click", async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
  } catch {  // plain http from another machine: no clipboard
    getSelection().selectAllChildren($("curl"));
    $("copy").textContent = "Press Ctrl+C";
  }
  setTimeout(() => { $("copy").textContent = "Copy"; }, 2000);
});
showCurl();
