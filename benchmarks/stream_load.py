"""Frames sent to a server over WebSockets, and what came of them: the load of the programs about streams.

A bare `websockets` connection per stream, events read as plain JSON: a typed client
would take CPU that the server needs on the same machine.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.served import Served

OPEN_TIMEOUT_S = 10.0
LAST_EVENTS_S = 10.0


@dataclass(slots=True)
class StreamCounts:
    """One stream: what was sent, and every frame's one event. Times in ms."""

    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    age_ms: list[float] = field(default_factory=list)
    round_trip_ms: list[float] = field(default_factory=list)
    repeated: int = 0

    @property
    def results(self) -> int:
        """Frames that were answered."""
        return self.outcomes["result"]


@dataclass(frozen=True, slots=True)
class FramePlan:
    """``fps`` frames a second whatever comes back; 0: the next frame leaves when the last one's event came."""

    policy: str
    fps: float
    seconds: float
    warmup_s: float = 0.5


class FrameStream:
    """One camera. ``run`` sends until the plan's time is over, waits for what is open, and closes."""

    def __init__(self, served: Served, plan: FramePlan, frames: Sequence[bytes], phase: float = 0.0) -> None:
        self.counts = StreamCounts()
        self._url = f"{served.url.replace('http', 'ws', 1)}/v1/stream?policy={plan.policy}"
        self._plan = plan
        self._frames = frames
        self._phase = phase
        self._sent_s: dict[int, float] = {}
        self._event = asyncio.Event()
        self._all_told = asyncio.Event()

    async def run(self) -> StreamCounts:
        """One stream from its handshake to its close."""
        options = {"compression": None, "max_size": None, "open_timeout": OPEN_TIMEOUT_S, "ping_interval": None}
        async with connect(self._url, **options) as socket:
            await asyncio.wait_for(socket.recv(), OPEN_TIMEOUT_S)  # ready
            reader = asyncio.create_task(self._read(socket))
            begins_s = time.perf_counter() + self._plan.warmup_s
            await self._send(socket, begins_s)
            if self._sent_s:
                self._all_told.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._all_told.wait(), LAST_EVENTS_S)
            reader.cancel()
        self.counts.outcomes["unanswered"] = len(self._sent_s)
        return self.counts

    async def _send(self, socket: ClientConnection, begins_s: float) -> None:
        """Frames of the warm-up count too: each has its event; their ages are left out by ``_read``."""
        ends_s = begins_s + self._plan.seconds
        interval_s = 1 / self._plan.fps if self._plan.fps else 0.0
        next_s = time.perf_counter() + self._phase * interval_s
        while (now_s := time.perf_counter()) < ends_s:
            if interval_s and now_s < next_s:
                await asyncio.sleep(next_s - now_s)
            self._event.clear()
            number = self.counts.sent + 1
            self._sent_s[number] = time.perf_counter()
            self.counts.sent = number
            await socket.send(self._frames[number % len(self._frames)])
            next_s += interval_s
            if not interval_s and number in self._sent_s:
                await self._event.wait()

    async def _read(self, socket: ClientConnection) -> None:
        warm_s = time.perf_counter() + self._plan.warmup_s
        with suppress(ConnectionClosed):
            async for message in socket:
                event = orjson.loads(message)
                now_s = time.perf_counter()
                sent_s = self._sent_s.pop(event.get("seq"), None)
                if sent_s is None:
                    self.counts.repeated += 1
                    continue
                outcome = event["type"] if event["type"] != "dropped" else event["reason"]
                self.counts.outcomes[outcome] += 1
                if outcome == "result" and sent_s >= warm_s:
                    self.counts.age_ms.append(event["age_ms"])
                    self.counts.round_trip_ms.append((now_s - sent_s) * 1e3)
                self._event.set()
                if not self._sent_s:
                    self._all_told.set()


async def run_streams(served: Served, plan: FramePlan, frames: Sequence[bytes], streams: int) -> list[StreamCounts]:
    """All streams side by side, their cameras out of step."""
    cameras = [FrameStream(served, plan, frames, number / streams) for number in range(streams)]
    return list(await asyncio.gather(*(camera.run() for camera in cameras)))
