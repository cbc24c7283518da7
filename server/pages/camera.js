/** The camera: asking for one, saying what to do when there is none, and its frames as JPEG. */

import { make } from "./page.js";

const QUALITY = 0.8;

/** A camera's pictures. `id` empty: one that looks away from the person, if it can be. */
export async function openCamera(id) {
  if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "InsecureContext");
  const wish = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  const which = id ? { deviceId: { exact: id } } : { facingMode: { ideal: "environment" } };
  return navigator.mediaDevices.getUserMedia({ video: { ...wish, ...which } });
}

/** All cameras; their names are told once one has been allowed. */
export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput").map(({ deviceId, label }, at) => ({ id: deviceId, name: label || `Camera ${at + 1}` }));
}

/** Whether it looks at the person who looks at the page: such a picture is shown as a mirror shows it. */
export function looksAtYou(track) {
  const { facingMode } = track.getSettings();
  return facingMode ? facingMode === "user" : /front|facetime|built-?in|integrated/i.test(track.label);
}

/** What went wrong and what to do. `code`: a line to copy. */
export function inPlainWords({ name, message }) {
  const again = "Then choose “Try again”.";
  switch (name) {
    case "InsecureContext":
      return isSecureContext ? { title: "This browser gives pages no camera.", steps: ["Try a current Chrome, Edge, Firefox or Safari."] } : insecure();
    case "NotAllowedError":
    case "SecurityError":
      return /system/i.test(message)
        ? { title: "The operating system keeps the camera from this browser.", steps: ["Allow it in the system’s settings, under Privacy, Camera.", again] }
        : { title: "The camera was not allowed.", steps: ["Choose the sign left of the address, and set Camera to Allow.", again] };
    case "NotFoundError":
    case "OverconstrainedError":
      return { title: "No camera was found.", steps: ["Connect one: the page notices. Laptops may have a switch or a shutter.", "Or drop pictures here instead."] };
    case "NotReadableError":
    case "AbortError":
      return { title: "The camera does not start: another program may be using it.", steps: ["Close other programs and tabs that show its picture.", again] };
    default:
      return { title: "The camera did not start.", steps: [`The browser says: ${message || name}`, again] };
  }
}

function insecure() {
  const { hostname } = location;
  const port = location.port || 80;
  return {
    title: "Browsers give the camera to secure pages only, and this one came over plain http.",
    steps: [
      `On the computer that runs the server: open http://localhost:${port} there.`,
      `From another computer: run the line below, then open http://localhost:${port} on yours.`,
      "From a phone: put a proxy with https in front of the server, and open its address.",
    ],
    code: `ssh -N -L ${port}:localhost:${port} ${hostname}`,
  };
}

/** Calls `act` for every new frame of a playing video; returns what ends it. */
export function eachFrame(video, act) {
  const tells = "requestVideoFrameCallback" in video;  // else: looked at with every repaint
  let number = 0;
  let last = -1;
  const step = () => {
    ask();
    if (!tells && video.currentTime === last) return;
    last = video.currentTime;
    act();
  };
  const ask = () => { number = tells ? video.requestVideoFrameCallback(step) : requestAnimationFrame(step); };
  ask();
  return () => tells ? video.cancelVideoFrameCallback(number) : cancelAnimationFrame(number);
}

export class Shutter {
  canvas = make("canvas");
  pen = this.canvas.getContext("2d", { alpha: false });

  /** A JPEG whose shorter side has at most `shorter` px; null when there is nothing to take. */
  async take(video, shorter) {
    const { videoWidth, videoHeight } = video;
    if (!videoWidth) return null;
    const scale = Math.min(1, shorter / Math.min(videoWidth, videoHeight));
    this.canvas.width = videoWidth * scale;
    this.canvas.height = videoHeight * scale;
    this.pen.drawImage(video, 0, 0, this.canvas.width, this.canvas.height);
    return new Promise((done) => this.canvas.toBlob(done, "image/jpeg", QUALITY));
  }
}
