/**
 * The latency of the last seconds, moving to the left: round trip as a line, the server's share as the area, a tick for every
 * drop. The paths hold times and milliseconds as they are; the view box follows the clock. A rare outlier is cut, and told.
 */

import { $, plural, quantile } from "./page.js";

const WINDOW_MS = 15000;
const GAP_MS = 1500;  // a longer silence breaks the line
const TOPS = [5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];

export class Chart {
  constructor(svg) {
    this.svg = svg;
    this.clear();
  }

  clear() {
    this.points = [];
    this.dropped = [];
  }

  /** {at, trip, server}, in ms. */
  add(point) { this.points.push(point); }

  drop(at) { this.dropped.push(at); }

  draw(now) {
    const first = Math.round(now - WINDOW_MS);
    while (this.points[1]?.at < first) this.points.shift();  // one before the edge, for the line to come from
    while (this.dropped[0] < first) this.dropped.shift();
    const trips = this.points.map(({ trip }) => trip);
    const top = TOPS.find((each) => each >= quantile(trips, 0.95) * 1.25) ?? TOPS.at(-1);
    const runs = this.runs();
    const line = (run, name) => run.map((point) => `${point.at.toFixed(0)} ${-point[name].toFixed(1)}`).join("L");
    const paths = [
      [0, 0.5, 1].map((part) => `M${first} ${-part * top}h${WINDOW_MS}`),
      runs.map((run) => `M${run[0].at.toFixed(0)} 0L${line(run, "server")}V0Z`),
      runs.map((run) => `M${line(run, "trip")}`),
      this.dropped.map((at) => `M${at.toFixed(0)} 0v${top * 0.06}`),
    ];
    paths.forEach((path, at) => this.svg.children[at].setAttribute("d", path.join("")));
    this.svg.setAttribute("viewBox", `${first} ${-top} ${WINDOW_MS} ${top * 1.07}`);
    $("top").textContent = `${top} ms`;
    $("half").textContent = top / 2;
    $("highest").textContent = Math.max(0, ...trips) > top ? `highest ${Math.max(...trips).toFixed(0)} ms` : "";
  }

  /** The points, cut where nothing came for a while. */
  runs() {
    const found = [];
    for (const point of this.points) {
      if (point.at - found.at(-1)?.at(-1).at < GAP_MS) found.at(-1).push(point);
      else found.push([point]);
    }
    return found;
  }

  /** For who asks; nobody is interrupted. */
  inWords() {
    const under = (name, share) => `under ${quantile(this.points.map((point) => point[name]), share).toFixed(0)} ms`;
    return `Last ${WINDOW_MS / 1000} seconds: ${plural(this.points.length, "answer")}, ${plural(this.dropped.length, "frame")} dropped. Half of the round trips ${under("trip", 0.5)}, 99 of 100 ${under("trip", 0.99)}; half of the server’s times ${under("server", 0.5)}.`;
  }
}
