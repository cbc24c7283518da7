"""A small server that speaks ``/v1/stream`` by script: what a client's test wants to happen, it does.

It answers every frame with a result at once, or when ``gate`` opens; refuses
the first handshakes as told; breaks connections after so many frames. What
came in is kept: queries, headers, frames, control messages.
"""

import asyncio
import contextlib
import json
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import ormsgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from server.client.loop_thread import LoopThread

Document = dict[str, Any]
ABORT = 0  # instead of a close code: the line is cut
OPTIONS: Document = {
    "model": "shoes", "version": 2, "top_k": 5, "threshold": None, "priority": 5, "policy": "latest",
    "only_changed": False, "gate": 0.0, "smoothing": 0.0, "explain": None,
}  # fmt: skip
DROPPED = {"superseded": 0, "stale": 0, "overloaded": 0}
STATS: Document = {
    "type": "stats", "seconds": 1.5, "frames": 0, "results": 0, "reused": 0, "dropped": DROPPED, "errors": 0,
    "bytes": 0, "frame_age_ms": {"p50": 4.0, "p99": 9.0},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Came:
    """A frame as it came: on which connection (from 0), and what its header said."""

    connection: int
    seq: int
    captured_at: float
    data: bytes


def result_of(frame: Came) -> Document:
    """The plain answer; its label is the frame's own text."""
    return {
        "type": "result", "seq": frame.seq, "captured_at": frame.captured_at, "model": "shoes", "version": 2,
        "predictions": [{"index": 7, "label": frame.data.decode("latin-1")[:40], "score": 0.75}],
        "width": 640, "height": 480, "error": None, "batch_size": 1, "age_ms": 3.5, "reused": False,
        "timing_ms": {"queue": 0.5, "decode": 1.0, "preprocess": 0.25, "infer": 2.0, "postprocess": 0.25},
    }  # fmt: skip


def dropped(frame: Came, reason: str) -> Document:
    """A frame that was not run."""
    return {"type": "dropped", "seq": frame.seq, "captured_at": frame.captured_at, "reason": reason}


def failed(frame: Came, code: str = "undecodable_image", message: str = "not a picture") -> Document:
    """A frame that was no picture."""
    named = {"seq": frame.seq, "captured_at": frame.captured_at}
    return {"type": "error", **named, "code": code, "message": message}


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer to a handshake that is not 101; ``code`` None: not in our form."""

    status: int
    code: str | None = "overloaded"
    retry_after: str | None = None
    body: bytes = b"<html>no</html>"

    def response(self) -> Response:
        """For websockets."""
        body = self.body
        if self.code is not None:
            error = {"code": self.code, "message": f"told {self.code}", "request_id": "r1"}
            body = json.dumps({"error": error}).encode()
        headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
        if self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        return Response(self.status, HTTPStatus(self.status).phrase, headers, body)


@dataclass
class StreamDouble:
    """The script, and what came of it."""

    answer: Callable[[Came], Document] = result_of
    refusals: list[Refused] = field(default_factory=list)  # for the first handshakes
    breaks: dict[int, tuple[int, int]] = field(default_factory=dict)  # connection -> after n frames, close code
    first: Document | str | None = None  # instead of ``ready``
    max_inflight: int = 4
    max_frame_bytes: int = 100_000
    config_error: str | None = None
    final_stats: bool = True
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    frames: list[Came] = field(default_factory=list)
    controls: list[Document] = field(default_factory=list)
    connections: int = 0
    held: bool = False  # frames are taken, and not answered before ``release``
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))  # one for every frame
    _releases: list[Callable[[], object]] = field(default_factory=list)

    def release(self) -> None:
        """Answer what was held, and everything from now on; from any thread."""
        self.held = False
        while self._releases:
            self._releases.pop()()

    @property
    def query(self) -> dict[str, list[str]]:
        """Of the last handshake."""
        return parse_qs(urlsplit(self.requests[-1].path).query)

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on this event loop; gives the address."""

        def refuse(connection: ServerConnection, request: Request) -> Response | None:
            self.requests.append(request)
            return self.refusals.pop(0).response() if self.refusals else None

        formats = [Subprotocol("quickeye.json"), Subprotocol("quickeye.msgpack")]
        async with serve(
            self._talk, "127.0.0.1", port, subprotocols=formats, process_request=refuse, compression=None
        ) as server:
            self.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            yield self.url

    @contextlib.contextmanager
    def beside(self, port: int = 0) -> Iterator[str]:
        """Serve in a thread, for clients that block; gives the address."""
        with LoopThread("stream double") as thread:
            serving = self.serving(port)
            yield thread.call(serving.__aenter__())
            thread.call(serving.__aexit__(None, None, None))

    def ready(self) -> Document:
        """The first message."""
        asked = {name: values[0] for name, values in self.query.items()}
        options = OPTIONS | {name: asked[name] for name in asked.keys() & {"policy", "model"}}
        limits = {
            "max_frame_bytes": self.max_frame_bytes, "max_inflight": self.max_inflight,
            "max_frame_age_ms": 1000.0, "formats": ["jpeg", "png"],
        }  # fmt: skip
        named = {"model": "shoes", "version": 2, "session": f"s{self.connections}"}
        return {"type": "ready", **named, "options": options, "limits": limits}

    async def _talk(self, socket: ServerConnection) -> None:
        number, self.connections = self.connections, self.connections + 1
        with contextlib.suppress(ConnectionClosed):
            first = self.ready() if self.first is None else self.first
            await self._say(socket, first)
            waiting: asyncio.Queue[Came] = asyncio.Queue()
            answering = asyncio.create_task(self._answer_all(socket, waiting))
            try:
                await self._hear_all(socket, number, waiting)
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    async def _hear_all(self, socket: ServerConnection, number: int, waiting: asyncio.Queue[Came]) -> None:
        count = 0
        async for message in socket:
            if isinstance(message, str):
                if await self._control(socket, json.loads(message), waiting):
                    return
                continue
            magic, seq, captured_at = struct.unpack("<4sId", message[:16])
            assert magic == b"QE01"
            frame = Came(number, seq, captured_at, message[16:])
            count += 1
            if number in self.breaks and count > self.breaks[number][0]:
                await self._break(socket, self.breaks[number][1])
                return
            self.frames.append(frame)
            waiting.put_nowait(frame)
            self.came.release()

    async def _answer_all(self, socket: ServerConnection, waiting: asyncio.Queue[Came]) -> None:
        loop, released = asyncio.get_running_loop(), asyncio.Event()
        self._releases.append(lambda: loop.call_soon_threadsafe(released.set))
        while True:
            frame = await waiting.get()
            if self.held:
                await released.wait()
            await self._say(socket, self.answer(frame))
            waiting.task_done()

    async def _break(self, socket: ServerConnection, code: int) -> None:
        if code == ABORT:
            socket.transport.abort()
            return
        if code == 1001:
            await self._say(socket, STATS)
        await socket.close(code, "as told")

    async def _control(self, socket: ServerConnection, message: Document, waiting: asyncio.Queue[Came]) -> bool:
        self.controls.append(message)
        kind = message["type"]
        if kind == "config" and self.config_error is not None:
            error = {"seq": None, "captured_at": None, "code": "invalid_request", "message": self.config_error}
            await self._say(socket, {"type": "error", **error})
        elif kind == "config":
            changes = {name: value for name, value in message.items() if name != "type"}
            await self._say(socket, {"type": "config", **OPTIONS, **changes})
        elif kind == "stats":
            await self._say(socket, {**STATS, "frames": len(self.frames)})
        elif kind == "end":
            await waiting.join()
            if self.final_stats:
                await self._say(socket, {**STATS, "frames": len(self.frames), "results": len(self.frames)})
            await socket.close(1000)
            return True
        return False

    async def _say(self, socket: ServerConnection, document: Document | str) -> None:
        if isinstance(document, str):
            await socket.send(document)
        elif socket.subprotocol == "quickeye.msgpack":
            await socket.send(ormsgpack.packb(document))
        else:
            await socket.send(json.dumps(document))
