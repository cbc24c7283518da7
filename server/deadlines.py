"""The deadlines of everything that is open, under one timer.

A timer for each picture would cost more than its place in the queue, and nearly all would
be cancelled unused. One timer waits for the earliest deadline; when that has passed it
looks who is late, and waits for the earliest of those still open. What ends in time is
just forgotten, and the timer may go off for nobody, once.
"""

import asyncio
import math
from collections.abc import Callable, Iterator

from server.job import Job

Clock = Callable[[], float]


class Deadlines:
    """Open jobs, in the order in which they came; ``on_late`` ends one, and so discards it. On the running loop."""

    def __init__(self, on_late: Callable[[Job], None], clock: Clock) -> None:
        self._on_late = on_late
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._open: dict[Job, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._goes_off_s = math.inf

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, job: object) -> bool:
        return job in self._open

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._open))

    def add(self, job: Job) -> None:
        """Watch a job."""
        self._open[job] = None
        if job.deadline_s < self._goes_off_s:
            self._wait_until(job.deadline_s)

    def discard(self, job: Job) -> None:
        """It ended."""
        self._open.pop(job, None)

    def close(self) -> None:
        """Watch nobody any more."""
        self._open.clear()
        self._wait_until(math.inf)

    def _wait_until(self, when_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._goes_off_s = when_s
        delay_s = max(0.0, when_s - self._clock())
        self._timer = None if when_s == math.inf else self._loop.call_later(delay_s, self._look)

    def _look(self) -> None:
        due_s = max(self._goes_off_s, self._clock())  # a timer may go off a little early
        for job in self:
            if job.deadline_s <= due_s:
                self._on_late(job)
        self._wait_until(min((job.deadline_s for job in self._open), default=math.inf))
