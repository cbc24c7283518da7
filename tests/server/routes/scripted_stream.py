"""A server that streams by a script: the real page and its headers, a catalogue, and answers that a test wrote.

For what the real server does only under stress: drops, errors, closes, refusals in a row. ``on_frame`` says what
becomes of each frame; ``on_handshake`` may refuse a connection. Runs in a thread with a loop of its own.
"""

import asyncio
import contextlib
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from server.config import Config
from server.routes.playground import routes
from server.service import Service
from tests.server.routes.canned_server import model
from tests.server.running import free_port

HEADER = struct.Struct("<4sId")
START_S = 20.0


@dataclass(frozen=True)
class Frame:
    """What the page sent."""

    number: int
    seq: int
    captured_at: float
    picture: bytes


@dataclass(frozen=True)
class Refused:
    """A handshake's plain HTTP answer."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        error = {"code": self.code, "message": self.message, "request_id": "r-9"}
        return JSONResponse({"error": error}, self.status, self.headers)


@dataclass(frozen=True)
class Close:
    """Ends the socket instead of answering."""

    code: int
    reason: str = ""


Told = dict[str, Any] | Close | None


def result(frame: Frame, *labels: str, **more: object) -> Told:
    """A good answer."""
    ranked = [{"index": rank, "label": label, "score": 0.9 / 3**rank} for rank, label in enumerate(labels)]
    stages = {"queue": 0.3, "decode": 1.1, "preprocess": 0.6, "infer": 9.5, "postprocess": 0.1}
    return {
        "type": "result", "seq": frame.seq, "captured_at": frame.captured_at, "model": "striped", "version": 1,
        "predictions": ranked, "width": 640, "height": 480, "error": None, "timing_ms": stages, "batch_size": 1,
        "age_ms": 11.6, "reused": False, **more,
    }  # fmt: skip


def dropped(frame: Frame, reason: str) -> Told:
    """A frame that was never run."""
    return {"type": "dropped", "seq": frame.seq, "captured_at": frame.captured_at, "reason": reason}


class ScriptedServer:
    """What came is in ``frames``, ``controls``, ``queries`` and ``offered`` (subprotocols)."""

    def __init__(self) -> None:
        self.on_frame: Callable[[Frame], Told] = lambda frame: result(frame, "tabby", "lynx")
        self.on_handshake: Callable[[], Refused | None] = lambda: None
        self.models = [model("striped"), model("spotted", kinds=("logits", "class_activation"))]
        self.frames: list[Frame] = []
        self.controls: list[dict[str, Any]] = []
        self.queries: list[dict[str, str]] = []
        self.offered: list[list[str]] = []
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def app(self) -> FastAPI:
        app = FastAPI()
        router = routes(cast(Service, SimpleNamespace(config=Config()))).router
        assert router is not None
        app.include_router(router)

        @app.get("/v1/models")
        async def catalogue() -> dict[str, Any]:
            return {"models": self.models}

        @app.get("/v1/stream")
        async def asked_by_http(request: Request) -> Response:
            refused = self.on_handshake()
            return refused.response() if refused else Refused(426, "invalid_request", "a WebSocket is due").response()

        app.websocket("/v1/stream")(self._stream)
        return app

    async def _stream(self, socket: WebSocket) -> None:
        self.queries.append(dict(socket.query_params))
        self.offered.append(list(socket.scope["subprotocols"]))
        refused = self.on_handshake()
        if refused is not None:
            await socket.send_denial_response(refused.response())
            return
        await socket.accept(subprotocol="quickeye.json")
        query = self.queries[-1]
        await socket.send_text(json.dumps({"type": "ready", "model": query.get("model"), "version": 1, "limits": {}}))
        with contextlib.suppress(WebSocketDisconnect):
            while await self._message(socket, await socket.receive()):
                pass

    async def _message(self, socket: WebSocket, message: Any) -> bool:  # noqa: ANN401
        if message["type"] == "websocket.disconnect":
            return False
        if message.get("text") is not None:
            self.controls.append(json.loads(message["text"]))
            await socket.send_text(json.dumps({"type": "config"}))
            return True
        magic, seq, captured_at = HEADER.unpack_from(message["bytes"])
        assert magic == b"QE01"
        frame = Frame(len(self.frames), seq, captured_at, message["bytes"][HEADER.size :])
        self.frames.append(frame)
        told = self.on_frame(frame)
        if isinstance(told, Close):
            await socket.close(told.code, told.reason)
            return False
        if told is not None:
            await asyncio.sleep(0.02)
            await socket.send_text(json.dumps(told))
        return True


@contextlib.contextmanager
def scripted() -> Iterator[ScriptedServer]:
    """A running one."""
    server = ScriptedServer()
    config = uvicorn.Config(
        server.app(), port=server.port, log_level="error", lifespan="off", ws_per_message_deflate=False
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    until_s = time.monotonic() + START_S
    try:
        while not running.started and time.monotonic() < until_s:
            time.sleep(0.01)
        yield server
    finally:
        running.should_exit = running.force_exit = True
        thread.join()
