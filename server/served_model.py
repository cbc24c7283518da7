"""A model that answers: its bundle, its instances and its queue, behind two calls.

``submit_all`` takes the pictures of a request, ``submit_frame`` a stream's next one. Both run on the event loop;
instances run in threads and hand whole batches back to the loop with one wake-up each. A job
ends exactly once, whoever comes first: its answer, its deadline, its caller
leaving, or the end of the model.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from model_zoo.bundle import Bundle
from model_zoo.check import CheckVerdict
from server.admission import BatchLimits
from server.backends import Backend
from server.batch_history import BatchHistory
from server.batcher import Batcher, Clock
from server.deadlines import Deadlines
from server.decoders import decoders_for
from server.errors import DeadlineExceededError, DrainingError, ServingError, SupersededError
from server.instance import Instance
from server.job import Answer, Job
from server.metrics import ModelMetrics
from server.tracing.contracts import BatchTraces


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle on its engines: checked and warm, but without a queue."""

    bundle: Bundle
    backends: tuple[Backend, ...]
    verdict: CheckVerdict
    refused: tuple[tuple[str, str], ...]
    threads: int
    max_batch_size: int


class ServedModel:
    """One version of one model, being served on the running event loop.

    ``clock`` is that of every job's deadline; ``history`` is told of every batch, ``tracing`` of those
    with sampled pictures, where they are given.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        limits: BatchLimits,
        metrics: ModelMetrics,
        clock: Clock = time.monotonic,
        history: BatchHistory | None = None,
        tracing: BatchTraces | None = None,
    ) -> None:
        self.loaded = loaded
        self.spec = loaded.bundle.spec
        self.labels = loaded.bundle.labels
        self.load_s = 0.0  # from its bundle being read to its being warm; the catalogue knows
        self.batcher = Batcher(limits, self._refused_by_batcher, clock)
        self.batcher.keeps_timelines = history is not None or tracing is not None
        self._history = history
        self._tracing = tracing
        self._metrics = metrics
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._open = Deadlines(self._expire, clock)
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self.instances = [
            Instance(number, backend, loaded.bundle, self.batcher, self._deliver, decoders_for(backend))
            for number, backend in enumerate(loaded.backends)
        ]

    def start(self) -> None:
        """Let the instances take work."""
        for instance in self.instances:
            instance.start()

    def submit(self, job: Job) -> "asyncio.Future[Answer]":
        """Admit one picture; the future ends with its answer or a ``ServingError`` or ``PictureError``.

        Raises:
            OverloadedError, DrainingError: refused at the door, see ``Batcher.submit``.
        """
        futures, _ = self.submit_all([job])
        return futures[0]

    def submit_all(self, jobs: list[Job]) -> "tuple[list[asyncio.Future[Answer]], bool]":
        """Admit the pictures of one request, all or none; also tells whether some must wait for an instance."""
        futures = []
        for job in jobs:
            job.future = self._loop.create_future()
            futures.append(job.future)
        must_wait = self.batcher.submit(jobs)
        for job in jobs:
            self._open.add(job)
        self._idle.clear()
        return futures, must_wait

    def submit_frame(self, job: Job, instead_of: Job | None = None) -> "asyncio.Future[Answer]":
        """Admit a frame of a stream, instead of an older one of the same stream if that still waits.

        The older one then ends with ``SupersededError``; the newer stands in its place in line.
        One that another model has is left alone.

        Raises:
            OverloadedError, DrainingError: refused at the door, see ``Batcher.submit_frame``; the older one waits on.
        """
        older = instead_of if instead_of in self._open else None
        future = job.future = self._loop.create_future()
        replaced = self.batcher.submit_frame(job, older)
        self._open.add(job)
        self._idle.clear()
        if replaced and older is not None:
            self._end(older, SupersededError("a newer frame took this one's place"))
        return future

    def abandon(self, jobs: list[Job]) -> None:
        """The caller left: what still waits is forgotten, what runs is not delivered."""
        for job in jobs:
            self.batcher.cancel(job)
            self._end(job, None)

    @property
    def unanswered(self) -> int:
        """Jobs admitted and not yet ended."""
        return len(self._open)

    async def drain(self, timeout_s: float) -> int:
        """Refuse new work and wait for what was admitted; returns how many jobs were still open."""
        self.batcher.drain()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        return self.unanswered

    def give_up(self) -> None:
        """Take nothing more from the queue, and tell everybody who still waits that the server stops."""
        self.batcher.close()
        for job in self._open:
            self._end(job, DrainingError("the server stopped before this picture was answered"))
        self._open.close()

    async def close(self, timeout_s: float = 5.0) -> None:
        """Give up what is left, wait for the instances to finish their batches, and free the engines."""
        self.give_up()
        await asyncio.gather(*(asyncio.to_thread(instance.stop, timeout_s) for instance in self.instances))

    def _deliver(self, batch: list[Job]) -> None:
        """From an instance's thread: hand a finished batch to the loop, and leave the interpreter to it."""
        try:
            self._metrics.batch(batch)
            if self._history is not None:
                self._history.add(self.spec.version, batch)
            if self._tracing is not None:
                self._trace(self._tracing, batch)
        finally:
            self._to_loop(self._settle, batch)

    def _trace(self, tracing: BatchTraces, batch: list[Job]) -> None:
        traced = [job for job in batch if job.trace is not None]
        if traced:
            self._metrics.exemplify(traced)
            tracing.batch(self.spec, batch, traced)

    def _settle(self, batch: list[Job]) -> None:
        now_s = self._clock()
        for job in batch:
            if job.stream is not None and now_s > job.deadline_s:
                self._expire(job)  # its timer is late: a frame's answer never is
            else:
                self._end(job, job.result)

    def _refused_by_batcher(self, late: list[tuple[Job, ServingError]]) -> None:
        for job, error in late:
            self._to_loop(self._end, job, error)

    def _expire(self, job: Job) -> None:
        self.batcher.cancel(job)
        self._end(job, DeadlineExceededError("the deadline passed before the answer was there"))

    def _end(self, job: Job, result: Answer | BaseException | None) -> None:
        """The one place where a job ends. None: nobody waits for it."""
        if job.finished:
            return
        job.finished = True
        self._open.discard(job)
        if not self._open:
            self._idle.set()
        if job.future is None or job.future.done():
            return
        if result is None:
            job.future.cancel()
        elif isinstance(result, BaseException):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

    def _to_loop(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():  # closed: nobody is left to be told
                raise
