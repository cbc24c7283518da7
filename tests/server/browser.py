"""A headless Chromium for tests, spoken to over the DevTools protocol.

The protocol runs over two inherited pipes (``--remote-debugging-pipe``: JSON
messages that end in a zero byte), so there is no port to find, nothing to wait
for and no client library. ``Page.problems`` gathers what a person would see in
red in the console: exceptions, ``console.error``, refusals by the content
security policy, requests that failed. ``Page.requested`` tells every address it
asked for. A camera is a file: ``chromium(program, *camera(video))``.

By hand, to look at a page::

    python -m tests.server.browser http://127.0.0.1:8000/ out.png --dark --width 390 --files photo.jpg \
        --wait "document.querySelector('.labels')"
    python -m tests.server.browser http://127.0.0.1:8000/ live.png --camera photos.mjpeg --click "#camera" \
        --wait "document.querySelector('#chart .of-trip').getAttribute('d')?.length > 900"
"""

import argparse
import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Json = Any  # whatever JSON can hold

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
# The browser reads commands on descriptor 3 and writes on 4; only a fresh process can number them so.
TRAMPOLINE = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
ANSWER_WITHIN_S = 30.0
LEAVES_WITHIN_S = 5.0
FIRST_FREE_DESCRIPTOR = 10


def camera(video: Path) -> tuple[str, ...]:
    """Flags for a camera that plays a file again and again.

    Args:
        video: MJPEG (JPEG files of one size, one after another; 30 frames a second) or Y4M.
    """
    return ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={video.resolve()}")


class BrowserError(Exception):
    """The browser refused a command, ended, or did not come to what was waited for."""


def find_chromium() -> str | None:
    """Where a Chromium is, if there is one."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


class Pipes:
    """The two ends kept here: sends commands, reads replies and events in order."""

    def __init__(self, write_to: int, read_from: int) -> None:
        self._write_to = write_to
        self._read_from = read_from
        self._rest = b""
        self._number = 0

    def call(self, method: str, parameters: dict[str, Any], session: str | None, events: list[dict[str, Any]]) -> Json:
        """One command; events that come before its reply are added to ``events``.

        Raises:
            BrowserError: refused, or no reply in time.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        unsent = json.dumps(message).encode() + b"\0"
        while unsent:
            unsent = unsent[os.write(self._write_to, unsent) :]
        until_s = time.monotonic() + ANSWER_WITHIN_S
        while True:
            reply = self._read(until_s, method)
            if reply.get("id") != self._number:
                events.append(reply)
            elif "error" in reply:
                raise BrowserError(f"{method}: {reply['error']['message']}")
            else:
                return reply["result"]

    def _read(self, until_s: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read_from], [], [], max(0.0, until_s - time.monotonic()))[0]:
                raise BrowserError(f"{method}: no reply within {ANSWER_WITHIN_S:g} s")
            part = os.read(self._read_from, 2**20)
            if not part:
                raise BrowserError(f"{method}: the browser ended")
            self._rest += part
        whole, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(whole)
        return message


class Page:
    """One tab."""

    def __init__(self, pipes: Pipes, session: str, context: str) -> None:
        self._pipes = pipes
        self._session = session
        self._context = context
        self._events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Json:
        """Any command of the protocol, to this tab."""
        return self._pipes.call(method, parameters, self._session, self._events)

    def look_like(self, width: int = 1280, height: int = 800, *, dark: bool = False, phone: bool = False) -> None:
        """Window size in CSS px, colour scheme, and whether it is a phone (touch, two device pixels per px)."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def permit(self, name: str, setting: str) -> None:
        """Answer beforehand what a person is asked, such as ``permit("camera", "granted")``; or ``denied``."""
        asked = {"permission": {"name": name}, "setting": setting, "browserContextId": self._context}
        self._pipes.call("Browser.setPermission", asked, None, self._events)

    def before_load(self, script: str) -> None:
        """Run a script ahead of those of every page that is opened from now on."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url: str) -> None:
        """Load a page and wait for its load event."""
        error = self.call("Page.navigate", url=url).get("errorText")
        if error:
            raise BrowserError(f"{url}: {error}")
        self.wait_for(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")

    def evaluate(self, script: str) -> Json:
        """The value of an expression (a promise is awaited), as JSON allows.

        Raises:
            BrowserError: it threw.
        """
        reply = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise BrowserError(f"{script}: {_told(reply['exceptionDetails'])}")
        return reply["result"].get("value")

    def wait_for(self, condition: str, timeout_s: float = 20.0) -> None:
        """Until an expression is true.

        Raises:
            BrowserError: it did not become true in time; the message holds the page's text.
        """
        until_s = time.monotonic() + timeout_s
        while not self.evaluate(f"!!({condition})"):
            if time.monotonic() > until_s:
                text = self.evaluate("document.body.innerText")
                raise BrowserError(f"not within {timeout_s:g} s: {condition}\nproblems: {self.problems}\npage:\n{text}")
            time.sleep(0.02)

    def choose_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Fill a file input, as a person does in the file dialogue."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path.resolve()) for path in paths])

    def drop_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Drag files from outside over an element's middle and let go."""
        where = self.evaluate(
            f"(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()"
        )
        data = {"items": [], "files": [str(path.resolve()) for path in paths], "dragOperationsMask": 1}
        for step in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=step, data=data, **where)

    def click(self, selector: str) -> None:
        """Press a control, as a person's doing."""
        self.call(
            "Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)}).click()", userGesture=True
        )

    def press(self, key: str, *, code: int = 0, text: str = "") -> None:
        """One key: ``press("Tab", code=9)``, ``press("Enter", code=13, text="\\r")``."""
        for step in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=step, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def screenshot(self, path: Path) -> None:
        """The whole page, also what lies below the window's edge, as PNG."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    @property
    def requested(self) -> list[str]:
        """Every address this tab asked for, in order: by HTTP or WebSocket, also ``data:`` and ``blob:``."""
        self.evaluate("0")
        return [address for address in map(_requested, self._events) if address]

    @property
    def problems(self) -> list[str]:
        """What the console shows in red since the page was opened."""
        self.evaluate("0")  # collects what the browser has to tell
        return [told for told in map(_problem, self._events) if told]


def _requested(event: dict[str, Any]) -> str | None:
    match event.get("method"):
        case "Network.requestWillBeSent":
            return str(event["params"]["request"]["url"])
        case "Network.webSocketCreated":
            return str(event["params"]["url"])
    return None


def _problem(event: dict[str, Any]) -> str | None:
    parameters = event.get("params", {})
    match event.get("method"):
        case "Runtime.exceptionThrown":
            return f"exception: {_told(parameters['exceptionDetails'])}"
        case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "assert"):
            return "console: " + " ".join(str(each.get("value", "")) for each in parameters["args"])
        case "Log.entryAdded" if parameters["entry"]["level"] == "error":
            entry = parameters["entry"]
            return f"{entry['source']}: {entry['text']} {entry.get('url', '')}".strip()
    return None


def _told(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description", details["text"]))


@contextlib.contextmanager
def chromium(program: str, *flags: str) -> Iterator[Pipes]:
    """A running browser with a fresh profile; ended with all its processes.

    Args:
        flags: added to ``FLAGS``.
    """
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    given = [fcntl.fcntl(end, fcntl.F_DUPFD, FIRST_FREE_DESCRIPTOR) for end in (theirs_in, theirs_out)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", TRAMPOLINE, *map(str, given), program, *FLAGS, *flags, f"--user-data-dir={profile}"],
            pass_fds=given, env={**os.environ, "TMPDIR": profile},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        for end in (theirs_in, theirs_out, *given):
            os.close(end)
        try:
            yield Pipes(ours_out, ours_in)
        finally:
            _end(process, ours_out, ours_in)


def _end(process: subprocess.Popen[bytes], *pipes: int) -> None:
    """Closed pipes tell the browser to leave; one that stays is killed with its group."""
    for end in pipes:
        os.close(end)
    try:
        process.wait(LEAVES_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def new_page(pipes: Pipes) -> Page:
    """A new tab in a context of its own: no storage or cache shared with another."""
    context = pipes.call("Target.createBrowserContext", {}, None, [])["browserContextId"]
    asked = {"url": "about:blank", "browserContextId": context}
    target = pipes.call("Target.createTarget", asked, None, [])["targetId"]
    attached = pipes.call("Target.attachToTarget", {"targetId": target, "flatten": True}, None, [])
    return Page(pipes, attached["sessionId"], context)


def main(arguments: list[str]) -> int:
    """Photograph a page, after giving it files if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.browser", description=main.__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--phone", action="store_true", help="touch, two device pixels per px")
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="given to the page's first file input")
    parser.add_argument("--camera", type=Path, help="MJPEG or Y4M that the browser's camera plays")
    parser.add_argument("--click", help="selector of something to press after that")
    parser.add_argument("--wait", default="true", help="expression that is true once the page is as wanted")
    asked = parser.parse_args(arguments)
    program = find_chromium()
    if program is None:
        print("no Chromium here: apt-get install chromium", file=sys.stderr)
        return 1
    with chromium(program, *(camera(asked.camera) if asked.camera else ())) as pipes:
        page = new_page(pipes)
        page.permit("camera", "granted")
        page.look_like(asked.width, asked.height, dark=asked.dark, phone=asked.phone)
        page.open(asked.url)
        if asked.files:
            page.choose_files("input[type=file]", asked.files)
        if asked.click:
            page.click(asked.click)
        page.wait_for(asked.wait)
        page.screenshot(asked.out)
        print("\n".join(page.problems), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
