"""Jobs and clocks for tests of the queue and the batcher."""

from dataclasses import dataclass

from server.job import Job, JobOptions


@dataclass
class HandClock:
    """A clock that the test turns."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def make_job(
    deadline_s: float = 1e9,
    *,
    priority: int = 5,
    stream: object | None = None,
    size: int = 10,
    options: JobOptions | None = None,
) -> Job:
    """A job with ``size`` bytes that no header was read from."""
    return Job(b"x" * size, None, deadline_s, priority, options or JobOptions(), stream)
