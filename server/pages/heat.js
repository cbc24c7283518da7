/**
 * The class-activation map over a picture: which places spoke for the best label.
 *
 * The map is coarse (7 × 7, say) and covers what the model saw, a crop. Doubled again and again with linear smoothing it
 * gets round spots, then its colours: from dark to light, for those who don't tell hues apart.
 */

import { make } from "./page.js";

const SIDE = 96;         // px of the smoothed map
const LONGEST = 480;     // px of the overlay's longer side
const SHOWN_FROM = 0.2;
const RAMP = [[0, 52, 22, 122], [0.35, 168, 32, 132], [0.65, 242, 108, 60], [0.85, 252, 188, 60], [1, 250, 244, 150]];  // as .scale in the style sheet

/** What the model sees of a picture: left, top, right, bottom, in px. A letterbox sees more than there is. */
export function sight({ resize, ...input }, width, height) {
  if (resize.mode === "stretch") return [0, 0, width, height];
  const scale = resize.mode === "letterbox" ? Math.min(input.width / width, input.height / height) : resize.size / Math.min(width, height);
  const [beside, above] = [(width - input.width / scale) / 2, (height - input.height / scale) / 2];
  return [beside, above, width - beside, height - above];
}

/** Draw the map on a canvas that has the picture's shape, so that CSS fits both alike. */
export async function paint(canvas, { png, box }, input, width, height) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  let map = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  while (map.width < SIDE) map = scaled(map, Math.min(SIDE, 2 * map.width));
  colour(map);
  const shrink = LONGEST / Math.max(width, height);
  canvas.width = Math.max(1, width * shrink);
  canvas.height = Math.max(1, height * shrink);
  const [left, top, right, bottom] = (box ?? sight(input, width, height)).map((edge) => edge * shrink);
  canvas.getContext("2d").drawImage(map, left, top, right - left, bottom - top);
}

function scaled(image, side) {
  const canvas = Object.assign(make("canvas"), { width: side, height: side });
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0, side, side);
  return canvas;
}

/** Grey becomes the ramp, against the highest value there is. */
function colour(canvas) {
  const pen = canvas.getContext("2d");
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  let most = 1;
  for (let at = 0; at < data.length; at += 4) most = Math.max(most, data[at]);
  for (let at = 0; at < data.length; at += 4) {
    const value = data[at] / most;
    const opacity = Math.min(1, Math.max(0, (value - SHOWN_FROM) / 0.5));
    data.set([...shade(value), 255 * opacity * (2 - opacity)], at);
  }
  pen.putImageData(pixels, 0, 0);
}

function shade(value) {
  const above = Math.max(1, RAMP.findIndex(([at]) => at >= value));
  const [from, ...low] = RAMP[above - 1];
  const [to, ...high] = RAMP[above];
  return low.map((channel, at) => channel + (value - from) / (to - from) * (high[at] - channel));
}
