"""The order in which waiting jobs are served.

Ten priorities, 0 first. Within one, posts go by earliest deadline and streams
take turns, one frame each (``stream_line.py``); when both wait they alternate, so
that neither a flood of posts nor a hundred cameras can shut the other out. A
priority that has waited longer than ``starvation_s`` counts as one higher, twice
that as two higher, and wins the tie: everybody moves in the end.

Frames with a ``history`` are given out one at a time: while one of a stream's is
being run, its next ones are parked, and stand in no line. ``release`` brings them
back to their stream's own turn.

Plain data, no clock, no lock: the batcher owns it and says what time it is.
Removing a post is O(1) (it is forgotten where it stands, and swept up when the
forgotten outnumber the waiting); adding and taking are O(log n).
"""

import math
from collections import deque
from collections.abc import Callable

from server.job import Job
from server.queue_level import QueueLevel

PRIORITIES = 10
SHARE_STEP = 0.05  # of the moving share of frames among what is taken while posts wait
LARGEST_SHARE = 0.9


class JobQueue:
    """Waiting jobs, best first.

    ``images`` and ``size_bytes`` count all that wait, ``frames`` those of streams,
    ``parked`` those of them that nobody may take yet.
    """

    def __init__(self, starvation_s: float) -> None:
        self.images = 0
        self.frames = 0
        self.parked = 0
        self.size_bytes = 0
        self._starvation_s = starvation_s
        self._levels = [QueueLevel() for _ in range(PRIORITIES)]
        self._busy: dict[object, deque[Job]] = {}  # streams with a frame being run, and the frames parked behind it
        self._sequence = 0
        self._forgotten = 0
        self._frame_share = 0.0

    def add(self, job: Job, now_s: float) -> None:
        """Put a job in line; a frame waits aside while the one before it is being run."""
        job.waiting = True
        self.images += 1
        self.size_bytes += job.size_bytes
        if job.stream is not None:
            self.frames += 1
            if job.stream in self._busy:
                self._busy[job.stream].append(job)
                self.parked += 1
                return
        self._stand_in_line(job, now_s)

    def pop(self, now_s: float, fits: Callable[[Job], bool] = lambda job: True) -> Job | None:
        """Take the next job out of the line; None when nobody stands there, or the next one does not fit."""
        level = self._next_level(now_s)
        if level is None:
            return None
        job = level.head()
        if not fits(job):
            return None
        level.take(job, now_s)
        self._leave(job)
        if job.stream is not None:
            self._frame_taken(job)
        elif self._frame_share:
            self._frame_share -= SHARE_STEP * self._frame_share
        return job

    def frames_beside(self, posts: int) -> float:
        """How many frames are likely to be taken before a post that has this many posts ahead of it.

        Those that wait now, as far as they alternate with posts; and as many more as
        came between posts lately, since a camera's next frame soon follows the last.
        """
        if not (self.frames or self._frame_share):
            return 0.0
        return max(min(self.frames, posts + 1), posts * self._frame_share / (1.0 - self._frame_share))

    def release(self, stream: object, now_s: float) -> int:
        """The frame of a stream that was being run is done with; returns how many more may be taken now."""
        parked = self._busy.pop(stream, None)
        if not parked:
            return 0
        self.parked -= len(parked)
        for job in parked:
            self._stand_in_line(job, now_s)
        return len(parked)

    def replace(self, old: Job, new: Job, now_s: float) -> bool:
        """Put a newer frame of a stream in a waiting one's place.

        Returns:
            False when that one does not wait; then nothing was changed.
        """
        if not old.waiting:
            return False
        if old.priority != new.priority:
            self.forget(old)
            self.add(new, now_s)
            return True
        parked = self._busy.get(old.stream)
        if parked is None:
            self._levels[old.priority].streams.replace(old, new)
        else:
            parked[parked.index(old)] = new
        self._leave(old)
        old.picture = b""
        new.waiting = True
        self.images += 1
        self.frames += 1
        self.size_bytes += new.size_bytes
        return True

    def forget(self, job: Job) -> bool:
        """Take one job out, wherever it stands; False when it does not wait here."""
        if not job.waiting:
            return False
        self._leave(job)
        job.picture = b""  # it may stand here for a while; its bytes need not
        if job.stream is not None:
            self._forget_frame(job)
            return True
        self._levels[job.priority].live -= 1
        self._forgotten += 1
        if self._forgotten > max(64, self.images):
            for level in self._levels:
                level.sweep()
            self._forgotten = 0
        return True

    def clear(self, now_s: float) -> list[Job]:
        """Take everybody out, the parked too."""
        for stream in tuple(self._busy):
            self.release(stream, now_s)
        left = []
        while (job := self.pop(now_s)) is not None:
            left.append(job)
            self.release(job.stream, now_s)
        return left

    def oldest_arrival_s(self) -> float:
        """When the longest-waiting job came; infinity when nobody stands in line."""
        return min((level.oldest_arrival_s() for level in self._levels if level.live), default=math.inf)

    def _next_level(self, now_s: float) -> QueueLevel | None:
        in_line = self.images - self.parked
        best, lowest = None, PRIORITIES
        for priority, level in enumerate(self._levels):
            if not level.live:
                continue
            if level.live == in_line:
                return level
            waited_s = max(0.0, now_s - level.waiting_since_s)
            effective = max(0, priority - int(waited_s / self._starvation_s))
            if effective <= lowest:  # on a tie the one that climbed goes first
                best, lowest = level, effective
        return best

    def _stand_in_line(self, job: Job, now_s: float) -> None:
        self._sequence += 1
        self._levels[job.priority].add(job, self._sequence, now_s)

    def _frame_taken(self, job: Job) -> None:
        if self.images > self.frames:
            self._frame_share = min(LARGEST_SHARE, self._frame_share + SHARE_STEP * (1.0 - self._frame_share))
        if job.history is not None:
            self._busy[job.stream] = parked = deque[Job]()
            for level in self._levels:
                frames = level.streams.part(job.stream)
                level.live -= len(frames)
                parked.extend(frames)
            self.parked += len(parked)

    def _forget_frame(self, job: Job) -> None:
        parked = self._busy.get(job.stream)
        if parked is None:
            level = self._levels[job.priority]
            level.live -= 1
            level.streams.forget(job)
        else:
            parked.remove(job)
            self.parked -= 1

    def _leave(self, job: Job) -> None:
        job.waiting = False
        self.images -= 1
        self.size_bytes -= job.size_bytes
        if job.stream is not None:
            self.frames -= 1
