"""A served model in virtual time: real queue, batcher and answers; runs that take as long as the test says."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from server.admission import BatchLimits
from server.errors import ServingError
from server.frame_history import FrameHistory
from server.job import Answer, Job
from server.metrics import Metrics, ModelMetrics
from server.served_model import LoadedModel, ServedModel
from tests.server.mean_colour import SIDE

PICTURE = np.full((SIDE, SIDE, 3), 90, np.uint8)


class VirtualModel:
    """``ServedModel`` on the running loop's clock; its instances are tasks that sleep while they "run".

    ``run_s`` says how long a batch of n pictures takes.
    """

    def __init__(self, loaded: LoadedModel, limits: BatchLimits, run_s: Callable[[int], float]) -> None:
        self.clock = asyncio.get_running_loop().time
        self.model = ServedModel(loaded, limits, ModelMetrics(Metrics(lambda: ()), "mean_colour", 3), self.clock)
        self.run_s = run_s
        self.most_images = self.most_bytes = self.runs = 0
        self._work = asyncio.Event()
        for images in range(1, limits.max_batch_size + 1):
            self.model.batcher.learn(images, run_s(images))
        self._tasks = [asyncio.create_task(self._serve(number)) for number in range(len(loaded.backends))]

    async def __aenter__(self) -> "VirtualModel":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.model.give_up()

    def submitted(self) -> None:
        """Somebody called ``submit`` or ``submit_frame``: measure what waits, wake who sleeps."""
        queue = self.model.batcher._queue
        self.most_images = max(self.most_images, queue.images)
        self.most_bytes = max(self.most_bytes, queue.size_bytes)
        self._work.set()

    async def _serve(self, number: int) -> None:
        instance, batcher = self.model.instances[number], self.model.batcher
        batcher.join()
        while True:
            batch = batcher.take(block=False)
            if not batch:
                self._work.clear()
                await self._work.wait()
                continue
            started_s = self.clock()
            await asyncio.sleep(self.run_s(len(batch)))
            self.runs += 1
            batcher.finished(batch, instance.serve(batch), self.clock() - started_s)
            self.model._deliver(batch)
            self._work.set()  # a finished frame may have let the next of its stream go


@dataclass
class Camera:
    """A stream that keeps one frame waiting, the newest, as sessions with ``latest`` do.

    ``jitter`` is by what share of itself the time between two frames may be off.
    """

    name: object
    fps: float
    first_s: float = 0.0
    max_age_s: float = 1.0
    priority: int = 5
    history: FrameHistory | None = None
    jitter: float = 0.0
    seed: int = 0
    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    told: list[tuple[int, float]] = field(default_factory=list)  # (frame, age in s) of results, as they came

    async def film(self, at: VirtualModel, seconds: float) -> None:
        """Send frames at ``fps``."""
        shutter = random.Random(f"{self.seed} {self.name}")
        await asyncio.sleep(self.first_s)
        last: Job | None = None
        for _ in range(int(seconds * self.fps)):
            received_s = at.clock()
            job = Job(PICTURE, None, received_s + self.max_age_s, self.priority, stream=self.name, history=self.history)
            number = self.sent
            self.sent += 1
            try:
                future = at.model.submit_frame(job, last)
            except ServingError as error:
                self.outcomes[error.code] += 1
            else:
                last = job
                future.add_done_callback(lambda done, n=number, s=received_s: self._ended(done, n, at.clock() - s))
            at.submitted()
            await asyncio.sleep((1 + shutter.uniform(-self.jitter, self.jitter)) / self.fps)

    def _ended(self, future: "asyncio.Future[Answer]", number: int, age_s: float) -> None:
        error = future.exception()
        if error is None:
            self.told.append((number, age_s))
        self.outcomes["result" if error is None else getattr(error, "code", type(error).__name__)] += 1


@dataclass
class Poster:
    """Posts pictures at a rate, whatever becomes of them."""

    rate: float
    timeout_s: float
    outcomes: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)

    async def post(self, at: VirtualModel, seconds: float) -> None:
        """Send posts, and note how long each answer took."""
        for _ in range(int(seconds * self.rate)):
            sent_s = at.clock()
            try:
                future = at.model.submit(Job(PICTURE, None, sent_s + self.timeout_s))
            except ServingError as error:
                self.outcomes[error.code] += 1
            else:
                future.add_done_callback(lambda done, s=sent_s: self._ended(done, at.clock() - s))
            at.submitted()
            await asyncio.sleep(1 / self.rate)

    def _ended(self, future: "asyncio.Future[Answer]", wait_s: float) -> None:
        error = future.exception()
        if error is None:
            self.waits_s.append(wait_s)
        self.outcomes["result" if error is None else getattr(error, "code", type(error).__name__)] += 1
