"""A server with canned replies for the playground: the real page and policy, no model.

What it answers to a picture follows from the bytes: ``answers`` are tried in
turn, so that a test can make it busy once, refuse, or hang up.
"""

import base64
import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from PIL import Image

from server.routes.playground import HEADERS, PAGE, page_files

LABELS = ("Egyptian cat", "tabby", "tiger cat", "lynx", "<b>remote</b> control")
SCORES = (0.7134, 0.1522, 0.0811, 0.0093, 0.0004)
FILES = page_files()
STAGES_MS = {"queue": 0.412, "decode": 0.93, "preprocess": 0.214, "infer": 2.31, "postprocess": 0.081}


@dataclass(frozen=True)
class Canned:
    """One reply; ``hang_up`` closes the connection instead."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


def model(name: str, version: int = 1, precision: str = "int8", kinds: tuple[str, ...] = ("logits",)) -> dict[str, Any]:
    """One entry of the catalogue, as far as the page reads it.

    Args:
        kinds: of its outputs.
    """
    return {
        "name": name, "version": version, "precision": precision, "classes": 1000,
        "engine": {"backend": "onnxruntime", "device": "cpu"},
        "input": {"height": 224, "width": 224, "resize": {"mode": "shorter_side", "size": 256}},
        "outputs": [{"name": kind, "kind": kind, "activation": "none"} for kind in kinds],
    }  # fmt: skip


def class_activation(*hot: tuple[int, int], side: int = 7) -> dict[str, Any]:
    """A map that is zero but for the cells (row, column) that are ``hot``."""
    grid = Image.new("L", (side, side))
    for row, column in hot:
        grid.putpixel((column, row), 255)
    buffer = io.BytesIO()
    grid.save(buffer, "PNG")
    return {"index": 0, "height": side, "width": side, "png": base64.b64encode(buffer.getvalue()).decode()}


def answer(name: str = "efficientnet_lite0", top_k: int = 5, **more: object) -> Canned:
    """A good prediction; ``more`` goes into its result."""
    ranked = list(zip(LABELS, SCORES, strict=True))[:top_k]
    result = {
        "predictions": [{"index": i, "label": label, "score": score} for i, (label, score) in enumerate(ranked)],
        "width": 640, "height": 480, "error": None, "timing_ms": STAGES_MS, "batch_size": 2, **more,
    }  # fmt: skip
    reply = {"model": name, "version": 1, "request_id": "r-1", "timing_ms": {"total": 4.2}, "results": [result]}
    return Canned(200, reply)


def refusal(status: int, code: str, message: str, **headers: str) -> Canned:
    """An error as the server words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(status, {"error": {"code": code, "message": message, "request_id": "r-2"}}, named)


class CannedServer:
    """Context manager. ``on_picture`` gets the number of the prediction (from 0) and the bytes."""

    def __init__(self, on_picture: Callable[[int, bytes], Canned] = lambda number, picture: answer()) -> None:
        self.models: Canned = Canned(200, {"models": [model("efficientnet_lite0"), model("efficientnet_lite2")]})
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._on_picture = on_picture
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> "CannedServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; the page's next request finds nobody."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def predict(self, path: str, headers: dict[str, str], picture: bytes) -> Canned:
        with self._lock:
            number = len(self.asked)
            self.asked.append((path, headers, picture))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self._on_picture(number, picture)
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        canned = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                folder, _, name = self.path.rpartition("/")
                file = FILES.get(name or PAGE.name) if folder in ("", "/playground") else None
                if file is not None:
                    self._send(200, file.body, {**HEADERS, "Content-Type": file.content_type})
                elif self.path == "/v1/models":
                    self._reply(canned.models)
                else:
                    self._reply(Canned(200 if self.path == "/healthz" else 404, {}))

            def do_POST(self) -> None:
                picture = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._reply(canned.predict(self.path, headers, picture))

            def _reply(self, reply: Canned) -> None:
                if reply.hang_up:
                    return
                content = {"Content-Type": "application/json", **reply.headers}
                self._send(reply.status, json.dumps(reply.body).encode(), content)

            def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in (*headers.items(), ("Content-Length", str(len(body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        return Handler
