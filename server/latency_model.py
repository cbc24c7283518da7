"""Learned latency: how long a batch of n pictures takes on one instance.

One moving average per batch size seen. A size never seen is read off the two
nearest sizes that were, as a straight line; beyond the largest, its time per
picture goes on. Warm-up fills size 1 and the largest, so that the first request
already meets a model. Not thread-safe: the batcher owns it under its lock.
"""

SMOOTHING = 0.1


class LatencyModel:
    """t(n) in seconds, n ≥ 1; 0 for everything until something was observed."""

    def __init__(self, smoothing: float = SMOOTHING) -> None:
        self._smoothing = smoothing
        self._seconds: dict[int, float] = {}

    def observe(self, images: int, seconds: float) -> None:
        """A batch of ``images`` took ``seconds`` from the first decode to the last answer."""
        known = self._seconds.get(images)
        self._seconds[images] = seconds if known is None else known + self._smoothing * (seconds - known)

    def predict(self, images: int) -> float:
        """Seconds for a batch of ``images``."""
        exact = self._seconds.get(images)
        if exact is not None:
            return exact
        if not self._seconds:
            return 0.0
        below = max((n for n in self._seconds if n < images), default=None)
        above = min((n for n in self._seconds if n > images), default=None)
        if below is None:
            return self._seconds[above] if above is not None else 0.0
        if above is None:
            return self._seconds[below] * images / below
        share = (images - below) / (above - below)
        return self._seconds[below] + share * (self._seconds[above] - self._seconds[below])

    def known(self) -> dict[int, float]:
        """What was learned: batch size → seconds."""
        return dict(sorted(self._seconds.items()))
