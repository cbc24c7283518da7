"""Dynamic batching: who is served next, with whom, and who is refused at the door.

The idea. Jobs wait encoded in one bounded queue per model. An instance that has
nothing to do takes what waits, at once, up to ``max_batch_size``: a lone request
never waits for company, and under load the queue that grows while all instances
are busy *is* the next batch. No fixed delay, no polling: an instance sleeps until
it is woken by the job that wants it.

The choices, and what they cost.
- When several instances are free they share what waits instead of the first one
  taking all: two half batches on two cores end sooner than one whole.
- A batch stops growing where more pictures would not make each one cheaper: where
  t(8) is eight times t(1), as on most CPUs, batches of one give the same throughput
  and answer sooner. It also stops where t(n) would break the tightest deadline in
  it. A job whose deadline cannot be met any more is answered at once; under
  overload the alternative is to be late for everybody.
- Whoever would wait too long is refused at the door (``admission.py``).
- ``max_queue_delay_s`` (0 by default) makes a free instance wait for company,
  counted from the oldest job's arrival. For GPUs whose t(n) is flat.

One lock guards the state; it is held for microseconds, by the event loop to
submit or cancel, by instances to take and to report. Each idle instance waits for
a token, as in threading.Condition, for a tenth of its cost. Time comes from one
clock, which the tests turn by hand. This file decides and counts; it never
decodes, runs or answers: instances do (``instance.py``), and whoever made the job
is told through ``on_refused`` when a job ends here.

What it does not do: pre-empt a running batch, or look inside a picture.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable

from server.admission import Admission, BatchLimits
from server.batch_timeline import BatchTimeline, closed_by
from server.errors import DeadlineExceededError, DrainingError, ServingError
from server.job import Job
from server.job_queue import JobQueue

Clock = Callable[[], float]
RefusedCallback = Callable[[list[tuple[Job, ServingError]]], None]


class Batcher:
    """One model's queue, shared by its instances.

    ``on_refused`` gets jobs that end here unserved; it is called without the
    lock, from whichever thread found out. ``keeps_timelines``: every job is to know its batch.
    """

    def __init__(self, limits: BatchLimits, on_refused: RefusedCallback, clock: Clock = time.monotonic) -> None:
        self.limits = limits
        self.keeps_timelines = False
        self._clock = clock
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()  # one for each idle instance that has to look
        self._queue = JobQueue(limits.starvation_s)
        self._admission = Admission(limits, self._queue)
        self._idle = 0
        self._draining = False
        self._closed = False

    def submit(self, jobs: list[Job]) -> bool:
        """Admit the jobs of one request, all or none.

        Returns:
            True when some must wait for an instance; False when free ones take them now.
        Raises:
            OverloadedError: the queue is full, or they would start too late.
            DrainingError: no new work is taken.
        """
        with self._lock:
            now_s = self._clock()
            self._refuse_when_draining()
            self._admission.check_posts(jobs, now_s)
            for job in jobs:
                job.arrived_s = now_s
                self._queue.add(job, now_s)
            self._wake(len(jobs))
            return self._queue.images > self._idle

    def submit_frame(self, job: Job, instead_of: Job | None = None) -> bool:
        """Admit a frame of a stream, in the place of an older one of the same stream if that still waits.

        Returns:
            True when it took that place: the older one is out of the queue.
        Raises:
            OverloadedError: too many frames or bytes wait; the older one still does.
            DrainingError: no new work is taken.
            ValueError: the two are not of one stream.
        """
        if job.stream is None or (instead_of is not None and instead_of.stream != job.stream):
            raise ValueError("a frame has a stream, and takes the place of a frame of the same one only")
        with self._lock:
            now_s = self._clock()
            replaced = instead_of if instead_of is not None and instead_of.waiting else None
            self._refuse_when_draining()
            self._admission.check_frame(job, replaced)
            job.arrived_s = now_s
            if replaced is not None and self._queue.replace(replaced, job, now_s):
                return True
            self._queue.add(job, now_s)
            self._wake(1)
            return False

    def cancel(self, job: Job) -> bool:
        """Forget a waiting job; False when it no longer waits. Costs nothing later, and hurts nobody."""
        with self._lock:
            return self._queue.forget(job)

    def take(self, *, block: bool = True) -> list[Job] | None:
        """The next batch for the calling instance, at least one job; None when there will be no more.

        With ``block`` False an empty list says that nothing is to be done now.
        """
        while True:
            late: list[tuple[Job, ServingError]] = []
            with self._lock:
                batch = self._take(late, block)
            if late:
                self._on_refused(late)
            if batch is None or batch or not block:
                return batch

    def finished(self, batch: list[Job], served: int, seconds: float) -> None:
        """An instance is done with a batch, of which ``served`` pictures were run, in ``seconds``."""
        with self._lock:
            self._admission.running_images -= len(batch)
            if served:
                self._admission.learn(served, seconds)
            for job in batch:
                if job.history is not None:
                    self._release(job)

    def learn(self, images: int, seconds: float) -> None:
        """Tell the latency model of a batch that was run outside the queue, as warm-up does."""
        with self._lock:
            self._admission.learn(images, seconds)

    def predicted_wait_s(self) -> float:
        """How long a post admitted now would wait before it is run."""
        with self._lock:
            return self._admission.wait_s()

    def counts(self) -> tuple[int, int]:
        """(images waiting, images being run)."""
        with self._lock:
            return self._queue.images, self._admission.running_images

    def learned(self) -> dict[int, float]:
        """The latency model: batch size → seconds."""
        with self._lock:
            return self._admission.latency.known()

    def join(self) -> None:
        """An instance says that it will take batches."""
        with self._lock:
            self._admission.instances += 1

    def drain(self) -> None:
        """Refuse new work from now on; what waits is still served."""
        with self._lock:
            self._draining = True

    @property
    def draining(self) -> bool:
        """Whether new work is refused."""
        return self._draining

    def close(self) -> list[Job]:
        """Send every instance home once it is done with its batch; returns the jobs that will not be served."""
        with self._lock:
            self._draining = self._closed = True
            left = self._queue.clear(self._clock())
            self._wake(self._idle)
            return left

    def _refuse_when_draining(self) -> None:
        if self._draining:
            raise DrainingError("the server is stopping and takes no new work")

    def _release(self, job: Job) -> None:
        released = self._queue.release(job.stream, self._clock())
        if released:
            self._wake(released)

    def _take(self, late: list[tuple[Job, ServingError]], block: bool) -> list[Job] | None:
        self._idle += 1
        try:
            while not self._closed:
                now_s = self._clock()
                wait_s = self._company_s(now_s)
                if wait_s <= 0.0:
                    return self._form(now_s, late)
                if not block:
                    return []
                self._wait(None if wait_s == float("inf") else wait_s)
            return None
        finally:
            self._idle -= 1

    def _wake(self, instances: int) -> None:
        """Let so many of the idle ones look. One that looks in vain waits again."""
        for _ in range(min(instances, self._idle - self._tokens.qsize())):
            self._tokens.put(None)

    def _wait(self, timeout_s: float | None) -> None:
        """Let go of the lock until there is a token."""
        self._lock.release()
        try:
            with contextlib.suppress(queue.Empty):
                self._tokens.get(timeout=timeout_s)
        finally:
            self._lock.acquire()

    def _company_s(self, now_s: float) -> float:
        """How long to wait before forming a batch: infinity when nobody waits."""
        ready = self._queue.images - self._queue.parked
        if not ready:
            return float("inf")
        if not self.limits.max_queue_delay_s or ready >= self.limits.max_batch_size or self._draining:
            return 0.0
        return self._queue.oldest_arrival_s() + self.limits.max_queue_delay_s - now_s

    def _form(self, now_s: float, late: list[tuple[Job, ServingError]]) -> list[Job]:
        """One batch for the calling instance. Empty when all that waited was late."""
        share = -(-(self._queue.images - self._queue.parked) // self._idle)
        wanted = self._admission.next_size()
        size = self._admission.without_padding(min(wanted, share))
        predict = self._admission.latency.predict
        batch: list[Job] = []
        tightest_s = float("inf")

        def fits(job: Job) -> bool:
            return not batch or now_s + predict(len(batch) + 1) <= min(tightest_s, job.deadline_s)

        while len(batch) < size and (job := self._queue.pop(now_s, fits)) is not None:
            if now_s + predict(1) > job.deadline_s and self._too_late(job, now_s):
                late.append((job, DeadlineExceededError("the deadline passed while the picture waited")))
                if job.history is not None:
                    self._release(job)
                continue
            batch.append(job)
            tightest_s = min(tightest_s, job.deadline_s)
        self._admission.running_images += len(batch)
        if self.keeps_timelines and batch:
            self._keep_timeline(batch, now_s, wanted, share, size)
        return batch

    def _keep_timeline(self, batch: list[Job], now_s: float, wanted: int, share: int, bucket: int) -> None:
        size, left, limits = len(batch), self._queue.images - self._queue.parked, self.limits
        why = closed_by(
            size,
            left,
            wanted=wanted,
            share=share,
            bucket=bucket,
            efficient=self._admission.efficient_size,
            largest=limits.max_batch_size,
            company=bool(limits.max_queue_delay_s) and not self._draining,
        )
        timeline = BatchTimeline(now_s, why, size, left, self._admission.latency.predict(size))
        for job in batch:
            job.batch = timeline

    def _too_late(self, job: Job, now_s: float) -> bool:
        """A job that never had the time for a run of its own still gets its chance until the deadline itself."""
        return now_s >= job.deadline_s or job.deadline_s - job.arrived_s > self._admission.latency.predict(1)
