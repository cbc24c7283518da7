/**
 * One stream of frames: a WebSocket that comes back by itself.
 *
 * A frame goes out as "QE01", uint32 number, float64 time (little-endian) and the JPEG. The server answers each with one
 * event; `free` while none is due. A refused handshake has no words for a page:
 * the same address is then asked by plain HTTP, which has.
 */

import { GONE, inWords, parsed } from "./page.js";

const ANSWER_WITHIN_MS = 10000;
const LONGEST_PAUSE_S = 15;

export class Stream {
  /** `to` has ready(told), event(told) and lost({message, status, seconds}); without seconds a person has to do something. */
  constructor(to) {
    this.to = to;
    this.tries = 0;   // since the last result
    this.number = 0;  // of the last frame
    this.round = 0;   // grows with every end of a socket
  }

  get free() { return this.isReady && this.due === null; }

  open(options, key) {
    this.close();
    this.asked = { options, key };
    const names = key ? ["quickeye.json", `quickeye.key.${percent(key)}`] : ["quickeye.json"];
    const socket = this.socket = new WebSocket(`${location.origin.replace("http", "ws")}${path(options)}`, names);
    socket.onmessage = ({ data }) => { if (this.socket === socket) this.hear(parsed(data) ?? {}); };
    socket.onclose = (event) => { if (this.socket === socket) this.lose(event); };
    this.expect();
  }

  /** Other options for the frames to come. */
  change(options) {
    this.asked.options = options;
    this.socket.send(JSON.stringify({ type: "config", ...options }));
  }

  /** A JPEG, and when it was taken by the page's clock, in ms. */
  send(picture, taken) {
    this.due = this.number = (this.number + 1) % 2 ** 32;
    const head = new DataView(new ArrayBuffer(16));
    head.setUint32(0, 0x51453031);  // QE01
    head.setUint32(4, this.due, true);
    head.setFloat64(8, (performance.timeOrigin + taken) / 1000, true);
    this.socket.send(new Blob([head, picture]));
    this.expect();
  }

  close() {
    clearTimeout(this.late);
    clearTimeout(this.again);
    this.round += 1;
    const { socket } = this;
    this.socket = null;
    this.isReady = false;
    this.due = null;
    socket?.close();
  }

  hear(told) {
    if (told.type === "ready") {
      this.isReady = true;
      clearTimeout(this.late);
      this.to.ready(told);
    } else if (["result", "dropped", "error"].includes(told.type)) {
      if (told.type === "result") this.tries = 0;
      if (told.seq === this.due) {
        this.due = null;
        clearTimeout(this.late);
      }
      this.to.event(told);
    }
  }

  /** A server that says nothing is as good as gone. */
  expect() {
    clearTimeout(this.late);
    this.late = setTimeout(() => this.lose({}), ANSWER_WITHIN_MS);
  }

  async lose({ code, reason }) {
    const message = reason ? `The server ended the stream: ${reason}.` : code ? "The connection was lost." : "The server has stopped answering.";
    const wasRefused = code && !this.isReady;
    this.close();
    const { round } = this;
    const why = wasRefused ? await this.whyRefused() : { message };
    if (this.round !== round) return;  // closed or opened meanwhile
    if (![400, 401, 403, 404].includes(why.status)) {
      this.tries += 1;
      why.seconds ??= Math.min(LONGEST_PAUSE_S, 2 ** this.tries / 4) * (0.75 + Math.random() / 2);
      this.again = setTimeout(() => this.open(this.asked.options, this.asked.key), why.seconds * 1000);
    }
    this.to.lost(why);
  }

  async whyRefused() {
    const { options, key } = this.asked;
    try {
      const reply = await fetch(path(options), { headers: { ...key && { "X-API-Key": key } }, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
      const error = parsed(await reply.text())?.error;
      const message = reply.status === 426 ? "Something between this page and the server lets no WebSocket through." : error?.message ?? inWords(reply);
      return { message, status: reply.status, seconds: Math.min(60, reply.headers.get("Retry-After")) || undefined };
    } catch {
      return { message: GONE };
    }
  }
}

const path = (options) => `/v1/stream?${new URLSearchParams(Object.entries(options).filter(([, value]) => value !== null))}`;

/** A key in the letters that a subprotocol may have. */
const percent = (key) => encodeURIComponent(key).replace(/[()]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
