"""The jobs of one priority: posts by deadline, streams in turn, and the two of them alternating."""

import heapq
import math

from server.job import Job
from server.stream_line import StreamLine


class QueueLevel:
    """All jobs of one priority that stand in line. ``live`` of them have not been forgotten."""

    __slots__ = ("live", "posts", "stream_turn", "streams", "waiting_since_s")

    def __init__(self) -> None:
        self.posts: list[tuple[float, int, Job]] = []
        self.streams = StreamLine()
        self.live = 0
        self.stream_turn = False
        self.waiting_since_s = 0.0

    def add(self, job: Job, sequence: int, now_s: float) -> None:
        """Put a job in line; of two posts with the same deadline the lower ``sequence`` goes first."""
        if not self.live:
            self.waiting_since_s = now_s
        self.live += 1
        if job.stream is None:
            heapq.heappush(self.posts, (job.deadline_s, sequence, job))
        else:
            self.streams.add(job)

    def head(self) -> Job:
        """The next live job, left where it stands; there must be one."""
        post = self._head_post()
        frame = self.streams.head() if self.stream_turn or post is None else None
        head = frame or post
        if head is None:
            raise LookupError("no job waits at this priority")
        return head

    def take(self, job: Job, now_s: float) -> None:
        """Take out what ``head`` just returned."""
        self.live -= 1
        self.waiting_since_s = now_s
        if job.stream is None:
            heapq.heappop(self.posts)
            self.stream_turn = True
        else:
            self.streams.take()
            self.stream_turn = False

    def _head_post(self) -> Job | None:
        while self.posts and not self.posts[0][2].waiting:
            heapq.heappop(self.posts)
        return self.posts[0][2] if self.posts else None

    def oldest_arrival_s(self) -> float:
        """When the longest-waiting job of this priority came."""
        posts = min((job.arrived_s for _, _, job in self.posts if job.waiting), default=math.inf)
        return min(posts, self.streams.oldest_arrival_s())

    def sweep(self) -> None:
        """Let go of every forgotten post."""
        self.posts = [entry for entry in self.posts if entry[2].waiting]
        heapq.heapify(self.posts)
