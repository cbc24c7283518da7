"""One load on one server: who sends when.

Closed loop: N callers, each sends its next request when the last one ended.
Its rate is the server's, so it measures capacity, and never shows a queue.

Open loop: requests leave at times fixed beforehand, whatever the server
does. Latency counts from the *scheduled* time: if this process is late, or
the server stalls and everything behind it waits, the figure says so; a
client that counts from when it managed to send leaves such waits out
("coordinated omission"). The event loop's timers have a resolution of 1 ms,
so a request leaves about 1 ms late on an idle machine; that is in the
latency, and reported on its own (``send_late``). What would exceed
``max_inflight`` is not sent and counted as such: then the rate asked for was
not the rate sent.

Retry-After is counted and not obeyed: a load that backs off measures itself.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from server.load.arrivals import arrivals
from server.load.client import Answer, Done
from server.load.tally import Tally

LAG_TICK_S = 0.05
RECONNECT_PAUSE_S = 0.1
TIMER_RESOLUTION_S = 0.001
SENT_WITHOUT_A_BREATH = 64


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """``connections`` callers, each waiting for its answer."""

    connections: int


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """``rate`` requests per second on average, in a pattern of ``ARRIVALS``."""

    rate: float
    pattern: str = "poisson"
    burst_size: int = 10
    max_inflight: int = 2048


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to send and for how long; ``warmup_s`` comes before ``seconds`` and is not measured."""

    shape: ClosedLoop | OpenLoop
    seconds: float
    warmup_s: float = 0.0
    seed: int = 0


class Sender(Protocol):
    """What a run needs of a client (``client.Client`` is one)."""

    def send(self, request: bytes, done: Done) -> None:
        """Send now; ``done`` is called once, later, from the event loop."""


class LoadRun:
    """Runs one plan with one client; ``run`` once, ``stop`` any time."""

    def __init__(
        self,
        plan: LoadPlan,
        client: Sender,
        requests: Sequence[bytes],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Get ready.

        Args:
            requests: whole HTTP requests, at least one; sent again and again in an order that the seed decides.
            clock: monotonic seconds, finer than the event loop's millisecond.
        """
        self.tally = Tally()
        self._plan = plan
        self._client = client
        self._clock = clock
        order = list(requests)
        random.Random(plan.seed).shuffle(order)
        self._requests = itertools.cycle(order)
        self._window_start = self._window_end = 0.0
        self._in_flight = 0
        self._sending = True
        self._quiet = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def run(self) -> Tally:
        """Send everything, wait for the last end (each has its timeout), give back the counts."""
        start = self._clock()
        self._window_start = start + self._plan.warmup_s
        self._window_end = self._window_start + self._plan.seconds
        self._work = asyncio.create_task(self._send_and_wait(start))
        observers = [asyncio.create_task(self._observe_loop()), asyncio.create_task(self._observe_cpu())]
        try:
            await self._work
        except asyncio.CancelledError:
            if not self.tally.interrupted:
                raise
        finally:
            for observer in observers:
                observer.cancel()
            await asyncio.gather(*observers, return_exceptions=True)
        self.tally.window_s = max(0.0, self._window_end - self._window_start)
        self.tally.unfinished = self._in_flight
        return self.tally

    def stop(self) -> None:
        """End now and keep what was measured; what is in flight counts as unfinished."""
        if self._work is not None and not self._work.done():
            self.tally.interrupted = True
            self._window_end = min(self._window_end, self._clock())
            self._work.cancel()

    async def _send_and_wait(self, start: float) -> None:
        if isinstance(self._plan.shape, ClosedLoop):
            for _ in range(self._plan.shape.connections):
                self._call()
            await asyncio.sleep(self._window_end - start)
        else:
            await self._send_on_schedule(start, self._plan.shape)
        self._sending = False
        if self._in_flight:
            await self._quiet.wait()

    async def _send_on_schedule(self, start: float, shape: OpenLoop) -> None:
        breath = 0
        for offset in arrivals(shape.pattern, shape.rate, self._plan.seed, shape.burst_size):
            due = start + offset
            if due >= self._window_end:
                break
            while (wait := due - self._clock()) > 0:
                breath = 0
                await asyncio.sleep(max(wait, TIMER_RESOLUTION_S))
            self._send_if_room(due, shape.max_inflight)
            breath += 1
            if breath % SENT_WITHOUT_A_BREATH == 0:  # behind schedule: answers must be read all the same
                await asyncio.sleep(0)
        await asyncio.sleep(max(0.0, self._window_end - self._clock()))

    def _send_if_room(self, due: float, max_inflight: int) -> None:
        measured = due >= self._window_start
        if self._in_flight >= max_inflight:
            self.tally.not_sent += measured
            return
        if measured:
            self.tally.send_late.append(self._clock() - due)
        self._send(due, self._count)

    def _call(self) -> None:
        now = self._clock()
        if now < self._window_end:
            self._send(now, self._count_and_call)

    def _send(self, due: float, then: Callable[[float, Answer], None]) -> None:
        self._in_flight += 1
        self._client.send(next(self._requests), lambda answer: then(due, answer))

    def _count_and_call(self, due: float, answer: Answer) -> None:
        self._count(due, answer)
        if not self._sending:
            return
        if answer.status:
            self._call()
        else:  # nobody answers: don't spin
            asyncio.get_running_loop().call_later(RECONNECT_PAUSE_S, self._call)

    def _count(self, due: float, answer: Answer) -> None:
        now = self._clock()
        self._in_flight -= 1
        if self._window_start <= now < self._window_end and answer.status:
            self.tally.finished += 1
            self.tally.finished_ok += answer.ok
        if due < self._window_start:
            self.tally.warmup_requests += 1
        else:
            self.tally.add(answer, now - due)
        if not self._sending and self._in_flight == 0:
            self._quiet.set()

    async def _observe_loop(self) -> None:
        await asyncio.sleep(self._plan.warmup_s)
        while True:
            before = self._clock()
            await asyncio.sleep(LAG_TICK_S)
            self.tally.loop_lag.append(max(0.0, self._clock() - before - LAG_TICK_S))

    async def _observe_cpu(self) -> None:
        await asyncio.sleep(self._plan.warmup_s)
        before = time.process_time()
        try:
            await asyncio.sleep(self._plan.seconds)
        finally:
            self.tally.cpu_s = time.process_time() - before
