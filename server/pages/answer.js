/** An answer on the page: labels with bars, and where the time went. Made once. */

import { make, ms } from "./page.js";

const STAGES = ["queue", "decode", "preprocess", "infer", "postprocess"];
const SCROLLS_FROM = 9;

/** Shares as per cent, raw logits as they are. */
function reading(predictions) {
  const scores = predictions.map(({ score }) => score);
  const shares = scores.every((score) => score >= 0 && score <= 1);
  const most = shares ? 1 : Math.max(...scores.map(Math.abs)) || 1;
  const told = (score) => !shares ? score.toFixed(2) : score < 0.001 ? "<0.1%" : `${(score * 100).toFixed(1)}%`;
  return { told, length: (score) => 100 * Math.max(0, score) / most };
}

/** The best label, for those who listen. */
export function inOneLine({ predictions, unknown }) {
  const [best] = predictions;
  return (unknown ? "unknown, " : "") + (best ? `${best.label}, ${reading(predictions).told(best.score)}` : "no label");
}

/** The ranking. Its rows stay, so that bars move. */
export class Labels {
  constructor() {
    this.element = make("div");
    this.list = Object.assign(make("ol", "labels"), { ariaLabel: "Labels, best first" });
    this.none = make("p", "waiting");
    this.element.append(this.none, this.list);
  }

  show({ predictions, unknown }) {
    const { told, length } = reading(predictions);
    while (this.list.children.length > predictions.length) this.list.lastChild.remove();
    predictions.forEach(({ label, score }, rank) => {
      const row = this.list.children[rank] ?? this.list.appendChild(newRow());
      const [name, share, bar] = row.children;
      name.textContent = label;
      share.textContent = told(score);
      bar.firstChild.style.width = `${length(score)}%`;
    });
    this.none.textContent = unknown ? "Unknown" : "No label scored enough.";
    this.none.hidden = !unknown && predictions.length;
    this.list.hidden = !predictions.length;
    if (predictions.length >= SCROLLS_FROM) this.list.tabIndex = 0; else this.list.removeAttribute("tabindex");
    return this;
  }
}

function newRow() {
  const row = make("li");
  const bar = make("div", "bar");
  bar.append(make("i"));
  row.append(make("span"), make("span"), bar);
  return row;
}

/** Milliseconds of each stage. The bar's whole length is the server's total; what no stage claims stays empty. */
export class Times {
  constructor() {
    this.element = Object.assign(make("div", "times"), { role: "group", ariaLabel: "Time in each stage, in milliseconds" });
    this.line = make("p", "total");
    this.bar = make("div", "stages");
    const legend = make("dl", "legend");
    this.parts = STAGES.map((name) => {
      const part = make("i", name);
      const value = make("dd");
      const entry = make("div", name);
      entry.append(make("dt", "", name), value);
      legend.append(entry);
      this.bar.append(part);
      return { name, part, value };
    });
    this.element.append(this.line, this.bar, legend);
  }

  /** `told` follows the total in the line above the bar. */
  show(timing, total, told) {
    const whole = Math.max(total, STAGES.reduce((sum, name) => sum + (timing?.[name] ?? 0), 0)) || 1;
    for (const { name, part, value } of this.parts) {
      const spent = timing?.[name] ?? 0;
      part.style.width = `${100 * spent / whole}%`;
      part.title = `${name} ${ms(spent)}`;
      value.textContent = spent.toFixed(2);
    }
    this.line.replaceChildren(make("b", "", ms(whole)), ` in the server · ${told}`);
    return this;
  }
}
