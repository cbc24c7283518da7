"""What one stream was told: counted for ``stats``, the access log and the metrics."""

import time
from collections import deque
from typing import Any

from server.batcher import Clock
from server.metrics import Metrics, StreamMetrics
from server.percentiles import nearest_rank

RECENT = 1024
REASONS = ("superseded", "stale", "overloaded")


class Tally:
    """Counts of one stream. ``model`` is who answers now; a frame is counted under who had it."""

    def __init__(self, metrics: Metrics, model: str, clock: Clock = time.monotonic) -> None:
        self._metrics = metrics
        self._by_model: dict[str, StreamMetrics] = {}
        self._clock = clock
        self._started_s = clock()
        self._ages_ms: deque[float] = deque(maxlen=RECENT)
        self.model = model
        self.frames = 0
        self.size_bytes = 0
        self.results = 0
        self.reused = 0
        self.errors = 0
        self._failures = 0
        self.dropped = dict.fromkeys(REASONS, 0)

    def frame(self, size_bytes: int) -> None:
        """A frame came."""
        self.frames += 1
        self.size_bytes += size_bytes

    def result(self, model: str, age_s: float, *, reused: bool, exemplar: dict[str, str] | None = None) -> None:
        """A result left, so long after its frame came; ``exemplar``: its trace, when it is sampled."""
        self.results += 1
        self.reused += reused
        self._ages_ms.append(age_s * 1e3)
        self._of(model).result(age_s, exemplar)

    def drop(self, model: str, reason: str) -> None:
        """A frame was dropped."""
        self.dropped[reason] += 1
        self._of(model).dropped(reason)

    def failure(self, model: str, code: str) -> None:
        """A frame was answered with an error."""
        self.errors += 1
        self._failures += 1
        self._of(model).failed(code)

    def refusal(self) -> None:
        """A message was answered with an error."""
        self.errors += 1

    def closed(self) -> None:
        """The stream ended: frames that have no event yet get none."""
        told = self.results + sum(self.dropped.values()) + self._failures
        self._of(self.model).abandoned(self.frames - told)

    def _of(self, model: str) -> StreamMetrics:
        found = self._by_model.get(model)
        if found is None:
            found = self._by_model[model] = StreamMetrics(self._metrics, model)
        return found

    def as_stats(self) -> dict[str, Any]:
        """The ``stats`` event; the ages are those of the last ``RECENT`` results."""
        ordered = sorted(self._ages_ms)
        ages = (
            {"p50": round(nearest_rank(ordered, 500), 3), "p99": round(nearest_rank(ordered, 990), 3)}
            if ordered
            else None
        )
        return {
            "type": "stats",
            "seconds": round(self._clock() - self._started_s, 3),
            "frames": self.frames,
            "results": self.results,
            "reused": self.reused,
            "dropped": dict(self.dropped),
            "errors": self.errors,
            "bytes": self.size_bytes,
            "frame_age_ms": ages,
        }
