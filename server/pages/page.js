/** What every part of the page stands on: elements, numbers in words, the one live region. */

export const $ = (id) => document.getElementById(id);
export const on = (id, kind, act) => $(id).addEventListener(kind, act);
export const calm = matchMedia("(prefers-reduced-motion: reduce)");
export const GONE = "This server can’t be reached. Is it running?";

/** An element with a class and a text; everything a server or a file says enters the page as text. */
export const make = (tag, className = "", textContent = "") => Object.assign(document.createElement(tag), { className, textContent });

export const plural = (n, what = "picture") => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
export const ms = (value) => `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value)} ms`;
export const size = (n) => n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} kB` : `${(n / 1e6).toFixed(1)} MB`;

/** The value that `share` of the numbers stay under; 0 without any. */
export function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

export const failure = (message, code, request) => Object.assign(new Error(message), { code, request });
export const inWords = (reply) => `The server answered ${reply.status} ${reply.statusText}`.trim();

export function parsed(text) {
  try { return JSON.parse(text); } catch { return null; }
}

/** The first screen is large; beside results it is a row. */
export const makeRoom = () => document.body.classList.toggle("used", !($("live").hidden && $("results").hidden));

/** Tell a screen reader. */
export const say = (text) => { $("said").textContent = text; };
