"""Learned latency: how long a batch of n pictures takes on one instance.

One moving average per batch size seen. A size never seen is read off the two
nearest sizes that were, as a straight line; beyond the largest, its time per
picture goes on. Warm-up fills size 1 and the largest, so that the first request
already meets a model. What was learned long ago counts as much as one new batch,
no more: it may have been a bad moment. Not thread-safe: the batcher owns it under
its lock.
"""

from bisect import bisect_left, insort
from functools import cache
from math import log2

from server.backends.batches import sizes_up_to

SMOOTHING = 0.1
DRIFT = 0.01  # a learned time that moved by less does not change which batch size is efficient
GAIN = 0.05  # of the time per picture, that a batch must save to be twice as large
OLD_BATCHES = 32  # a size that none of so many batches had is known from long ago
OLD_SMOOTHING = 0.5
HAND_OVER_S = 0.0003  # what a batch costs besides its own time: waking a thread, waking the event loop


class LatencyModel:
    """t(n) in seconds, n ≥ 1; 0 for everything until something was observed."""

    def __init__(self, smoothing: float = SMOOTHING) -> None:
        self._smoothing = smoothing
        self._seconds: dict[int, float] = {}
        self._sizes: list[int] = []  # those seen, rising
        self._batches = 0
        self._seen: dict[int, int] = {}  # size → which batch was the last of it
        self._judged: dict[int, float] = {}  # the times from which the sizes in ``_efficient`` were worked out
        self._efficient: dict[int, int] = {}

    def observe(self, images: int, seconds: float) -> None:
        """A batch of ``images`` took ``seconds`` from the first decode to the last answer."""
        known = self._seconds.get(images)
        if known is None:
            insort(self._sizes, images)
            learned = seconds
        else:
            is_old = self._batches - self._seen[images] > OLD_BATCHES
            learned = known + (max(self._smoothing, OLD_SMOOTHING) if is_old else self._smoothing) * (seconds - known)
        self._batches += 1
        self._seen[images] = self._batches
        self._seconds[images] = learned
        judged = self._judged.get(images)
        if judged is None or abs(learned - judged) > DRIFT * judged:
            self._efficient.clear()

    def predict(self, images: int) -> float:
        """Seconds for a batch of ``images``."""
        exact = self._seconds.get(images)
        if exact is not None:
            return exact
        sizes = self._sizes
        if not sizes:
            return 0.0
        place = bisect_left(sizes, images)
        if place == 0:
            return self._seconds[sizes[0]]
        below = sizes[place - 1]
        if place == len(sizes):
            return self._seconds[below] * images / below
        above = sizes[place]
        share = (images - below) / (above - below)
        return self._seconds[below] + share * (self._seconds[above] - self._seconds[below])

    def efficient_size(self, largest: int) -> int:
        """The smallest batch than which no larger one is worth it, up to ``largest``.

        A picture waits for its whole batch, so a larger one must save each picture
        ``GAIN`` of its time for every time that it doubles. Where a batch of eight
        takes nearly eight times as long as one picture, as on most CPUs, this says 1.
        Where t(n) is flat, as on GPUs, it says ``largest``.
        """
        if largest not in self._efficient:
            self._judged = dict(self._seconds)
            self._efficient[largest] = self._judge(largest)
        return self._efficient[largest]

    def _judge(self, largest: int) -> int:
        # Compared so, a size twice as large as another one must cost ``GAIN`` less to come out cheaper.
        costs = {n: (self.predict(n) + HAND_OVER_S) / n * (1 + GAIN) ** log2(n) for n in _candidates(largest)}
        return min(costs, key=costs.__getitem__)

    def known(self) -> dict[int, float]:
        """What was learned: batch size → seconds."""
        return dict(sorted(self._seconds.items()))


@cache
def _candidates(largest: int) -> list[int]:
    return sizes_up_to(largest)
