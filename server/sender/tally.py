"""What became of the frames of ``quickeye stream``: counts, rates and latencies.

Every frame that was read ends as exactly one of: a result, dropped for a
reason, an error. ``frames`` is their sum and those still under way.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from server.client import Dropped, FrameError, Prediction, Ready, Result
from server.percentiles import Percentiles, percentiles

RATE_WINDOW_S = 2.0
LATENCIES_KEPT = 1000

# Why a frame has no result, as a person is told it.
SUPERSEDED_HERE = "superseded before sending"
CONNECTION_LOST = "connection lost"
NOT_CONNECTED = "not connected"


class Rate:
    """Events per second over the last ``RATE_WINDOW_S``."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: deque[float] = deque()
        self._since_s = clock()

    def add(self) -> None:
        """One more, now."""
        self._times.append(self._clock())
        self._forget()

    @property
    def per_s(self) -> float:
        """The rate; over a shorter time at the beginning."""
        self._forget()
        window_s = min(RATE_WINDOW_S, max(0.2, self._clock() - self._since_s))
        return len(self._times) / window_s

    def _forget(self) -> None:
        oldest_s = self._clock() - RATE_WINDOW_S
        while self._times and self._times[0] < oldest_s:
            self._times.popleft()


@dataclass
class StreamTally:
    """One run of the command; ``expected`` frames, if that is known."""

    clock: Callable[[], float]
    expected: int | None = None
    frames: int = 0
    results: int = 0
    reused: int = 0
    bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    predictions: tuple[Prediction, ...] = ()
    unknown: bool = False
    model: str = ""
    last_error: str = ""

    def __post_init__(self) -> None:
        self.began_s = self.clock()
        self.rate_in = Rate(self.clock)
        self.rate_out = Rate(self.clock)
        self._round_trips_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._ages_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)

    @property
    def under_way(self) -> int:
        """Frames that were read and have no end yet."""
        return self.frames - self.results - self.dropped.total() - self.errors.total()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self.clock() - self.began_s

    def rates(self, *, whole_run: bool) -> tuple[float, float]:
        """Frames and results per second: of the last seconds, or of the whole run."""
        if whole_run:
            return self.frames / max(self.seconds, 1e-9), self.results / max(self.seconds, 1e-9)
        return self.rate_in.per_s, self.rate_out.per_s

    @property
    def round_trip_ms(self) -> Percentiles | None:
        """Of the last results, from when the frame began to leave until its result was here."""
        return percentiles(self._round_trips_ms)

    @property
    def server_ms(self) -> Percentiles | None:
        """Of the last results, from when the server had the frame until it had the result."""
        return percentiles(self._ages_ms)

    def read(self, size: int) -> None:
        """A frame was read."""
        self.frames += 1
        self.bytes += size
        self.rate_in.add()

    def connected(self, ready: Ready) -> None:
        """A connection stands."""
        self.connections += 1
        self.model = f"{ready.model}/{ready.version}"

    def add(self, event: Result | Dropped | FrameError) -> None:
        """What became of a frame."""
        if isinstance(event, Result):
            self._result(event)
        elif isinstance(event, Dropped):
            self.dropped[event.reason if event.sent else SUPERSEDED_HERE] += 1
        else:
            self.errors[event.code] += 1
            self.last_error = event.message

    def _result(self, result: Result) -> None:
        self.results += 1
        self.reused += result.reused
        self.rate_out.add()
        self._ages_ms.append(result.age_ms)
        if result.round_trip_ms is not None:
            self._round_trips_ms.append(result.round_trip_ms)
        if not result.unchanged:
            self.predictions, self.unknown = result.predictions, result.unknown
