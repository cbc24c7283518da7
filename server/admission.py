"""Who is let into a model's queue, and how long the wait will be.

A post is refused by its predicted wait: images ahead × learned time per image ÷
instances. What could not start within its deadline, or within ``max_queue_wait_s``,
is told so now (429), while it can still go elsewhere. The prediction is a moving
average: a sudden change of picture size or machine load is learned within some ten
batches. Of the frames it counts those that go between the posts ahead, not all.

A frame is let in whatever the wait: a stream bounds what it has in line, and a frame
that waits too long makes room for a newer one. Posts and frames may each be
``max_queue_images``, so that neither fills the queue for the other; they share the
bytes. Plain data; the batcher owns it under its lock.
"""

import math
from dataclasses import dataclass

from server.errors import OverloadedError
from server.job import Job
from server.job_queue import JobQueue
from server.latency_model import LatencyModel

PROBE_EVERY = 32  # one batch in so many tries a size beside the efficient one


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one model's queue and batches.

    ``sizes`` are those that the engine is prepared for, rising: a batch of another size is padded. Empty: for any.
    """

    max_batch_size: int = 8
    max_queue_delay_s: float = 0.0
    max_queue_images: int = 256
    max_queue_bytes: int = 256 * 2**20
    max_queue_wait_s: float = 0.25
    starvation_s: float = 1.0
    sizes: tuple[int, ...] = ()


class Admission:
    """The door of one queue. ``instances`` take from it, and have ``running_images`` in hand.

    ``efficient_size`` is the batch that no larger one is worth waiting for.
    """

    def __init__(self, limits: BatchLimits, queue: JobQueue) -> None:
        self.latency = LatencyModel()
        self.efficient_size = limits.max_batch_size
        self.instances = 0
        self.running_images = 0
        self._limits = limits
        self._queue = queue
        self._formed = 0

    def next_size(self) -> int:
        """How many pictures the next batch may hold: the efficient size.

        One batch in ``PROBE_EVERY`` may hold half of that, or twice as many, in turn: a size that is
        never run is never learned anew, and one slow run at warm-up would decide for good.
        """
        self._formed += 1
        if self._formed % PROBE_EVERY:
            return self.efficient_size
        if self._formed % (2 * PROBE_EVERY):
            return max(1, self.efficient_size // 2)
        return min(self._limits.max_batch_size, 2 * self.efficient_size)

    def without_padding(self, images: int) -> int:
        """How many of so many pictures to run now: fewer, where two batches take less time than the padded one."""
        whole = self._padded(images)
        below = max((size for size in self._limits.sizes if size < images), default=0)
        if whole == images or not below:
            return images
        predict = self.latency.predict
        return below if predict(below) + predict(self._padded(images - below)) < predict(whole) else images

    def _padded(self, images: int) -> int:
        return next((size for size in self._limits.sizes if size >= images), images)

    def learn(self, images: int, seconds: float) -> None:
        """A batch of ``images`` took this long."""
        self.latency.observe(images, seconds)
        self.efficient_size = self.latency.efficient_size(self._limits.max_batch_size)

    def wait_s(self) -> float:
        """How long a post would wait before it is run, if it came now."""
        posts = self._queue.images - self._queue.frames
        ahead = posts + self._queue.frames_beside(posts)
        instances = max(1, self.instances)
        size = min(self.efficient_size, max(1, math.ceil(ahead / instances)))
        per_image_s = self.latency.predict(size) / size
        return (ahead + self.running_images / 2) * per_image_s / instances  # what runs is half done, on average

    def check_posts(self, jobs: list[Job], now_s: float) -> None:
        """Let the posts of one request in, all or none.

        Raises:
            OverloadedError: the queue is full, or they would start too late.
        """
        queue = self._queue
        self._check_room(queue.images - queue.frames + len(jobs), sum([job.size_bytes for job in jobs]))
        if not queue.images:
            return
        wait_s = self.wait_s()
        allowed_s = min(self._limits.max_queue_wait_s, min([job.deadline_s for job in jobs]) - now_s)
        if wait_s > allowed_s:
            raise OverloadedError(
                f"the queue would take {wait_s * 1e3:.0f} ms, {allowed_s * 1e3:.0f} ms are allowed; try again later",
                retry_after_s=wait_s,
            )

    def check_frame(self, job: Job, replaced: Job | None) -> None:
        """Let a frame in, where it takes another's place with that one's bytes given back.

        Raises:
            OverloadedError: too many frames wait, or too many bytes.
        """
        if replaced is None:
            self._check_room(self._queue.frames + 1, job.size_bytes)
        else:
            self._check_room(self._queue.frames, job.size_bytes - replaced.size_bytes)

    def _check_room(self, images: int, more_bytes: int) -> None:
        limits = self._limits
        if images > limits.max_queue_images or self._queue.size_bytes + more_bytes > limits.max_queue_bytes:
            raise OverloadedError("the queue is full; try again later", retry_after_s=self.wait_s())
