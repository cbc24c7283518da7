"""The order in which waiting jobs are served.

Ten priorities, 0 first. Within one, posts go by earliest deadline and streams
take turns, one frame each; when both wait they alternate, so that neither a
flood of posts nor a hundred cameras can shut the other out. A priority that has
waited longer than ``starvation_s`` counts as one higher, twice that as two
higher, and wins the tie: everybody moves in the end.

Plain data, no clock, no lock: the batcher owns it and says what time it is.
Removing a job is O(1) (it is forgotten where it stands, and swept up when the
forgotten outnumber the waiting); adding and taking are O(log n).
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable

from server.job import Job

PRIORITIES = 10


class _Level:
    """All jobs of one priority."""

    __slots__ = ("live", "posts", "stream_turn", "streams", "waiting_since_s")

    def __init__(self) -> None:
        self.posts: list[tuple[float, int, Job]] = []
        self.streams: dict[object, deque[Job]] = {}
        self.live = 0
        self.stream_turn = False
        self.waiting_since_s = 0.0

    def head(self) -> Job:
        """The next live job, left where it stands; there must be one."""
        post = self._head_post()
        stream = self._head_stream()
        if stream is not None and (post is None or self.stream_turn):
            return self.streams[stream][0]
        if post is None:
            raise LookupError("no job waits at this priority")
        return post

    def drop_head(self, job: Job) -> None:
        """Take out what ``head`` just returned."""
        if job.stream is None:
            heapq.heappop(self.posts)
            self.stream_turn = True
            return
        jobs = self.streams.pop(job.stream)
        jobs.popleft()
        if jobs:
            self.streams[job.stream] = jobs  # a dict keeps insertion order: back of the line
        self.stream_turn = False

    def _head_post(self) -> Job | None:
        while self.posts and not self.posts[0][2].waiting:
            heapq.heappop(self.posts)
        return self.posts[0][2] if self.posts else None

    def _head_stream(self) -> object | None:
        while self.streams:
            stream, jobs = next(iter(self.streams.items()))
            while jobs and not jobs[0].waiting:
                jobs.popleft()
            if jobs:
                return stream
            del self.streams[stream]
        return None

    def oldest_arrival_s(self) -> float:
        """When the longest-waiting job of this priority came."""
        posts = (job.arrived_s for _, _, job in self.posts if job.waiting)
        frames = (job.arrived_s for jobs in self.streams.values() for job in jobs if job.waiting)
        return min(itertools.chain(posts, frames), default=math.inf)

    def sweep(self) -> None:
        """Let go of every forgotten job."""
        self.posts = [entry for entry in self.posts if entry[2].waiting]
        heapq.heapify(self.posts)
        kept = {stream: deque(job for job in jobs if job.waiting) for stream, jobs in self.streams.items()}
        self.streams = {stream: jobs for stream, jobs in kept.items() if jobs}


class JobQueue:
    """Waiting jobs, best first. ``images`` and ``size_bytes`` count the live ones only."""

    def __init__(self, starvation_s: float) -> None:
        self.images = 0
        self.size_bytes = 0
        self._starvation_s = starvation_s
        self._levels = [_Level() for _ in range(PRIORITIES)]
        self._sequence = 0
        self._forgotten = 0

    def add(self, job: Job, now_s: float) -> None:
        """Put a job in line."""
        level = self._levels[job.priority]
        if not level.live:
            level.waiting_since_s = now_s
        job.waiting = True
        if job.stream is None:
            self._sequence += 1
            heapq.heappush(level.posts, (job.deadline_s, self._sequence, job))
        else:
            level.streams.setdefault(job.stream, deque()).append(job)
        level.live += 1
        self.images += 1
        self.size_bytes += job.size_bytes

    def pop(self, now_s: float, fits: Callable[[Job], bool] = lambda job: True) -> Job | None:
        """Take the next job out of the line; None when nobody waits, or the next one does not fit."""
        best: tuple[int, int] | None = None
        for priority, level in enumerate(self._levels):
            if level.live:
                waited_s = max(0.0, now_s - level.waiting_since_s)
                effective = max(0, priority - int(waited_s / self._starvation_s))
                if best is None or effective <= best[0]:  # on a tie the one that climbed goes first
                    best = (effective, priority)
        if best is None:
            return None
        level = self._levels[best[1]]
        job = level.head()
        if not fits(job):
            return None
        level.drop_head(job)
        level.waiting_since_s = now_s
        self._leave(job)
        return job

    def oldest_arrival_s(self) -> float:
        """When the longest-waiting job came; infinity when nobody waits."""
        return min((level.oldest_arrival_s() for level in self._levels if level.live), default=math.inf)

    def forget(self, job: Job) -> bool:
        """Take one job out, wherever it stands; False when it does not wait here."""
        if not job.waiting:
            return False
        self._leave(job)
        job.picture = b""  # it may stand here for a while; its bytes need not
        self._forgotten += 1
        if self._forgotten > max(64, self.images):
            for level in self._levels:
                level.sweep()
            self._forgotten = 0
        return True

    def _leave(self, job: Job) -> None:
        job.waiting = False
        self._levels[job.priority].live -= 1
        self.images -= 1
        self.size_bytes -= job.size_bytes
