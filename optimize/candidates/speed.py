"""How fast a candidate is beside its parent, on the engine that would serve it.

Both are run in turns, many times, so that a neighbour's load falls on both: what is told is the
median of the rounds' ratios, and how far they lie apart. One picture at a time gives the latency,
a batch the throughput.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol

import numpy as np

from model_zoo.bundle import Bundle
from model_zoo.spec import InputSpec
from optimize.candidates.recipe import Measuring
from optimize.judging.judged_model import Pictures, Rows
from server.backends.cpu_features import cpu_features

ROUNDS = 12
Clock = Callable[[], float]


class Timed(Protocol):
    """What is timed: a ``BundleModel``, or a bundle on an engine set otherwise."""

    bundle: Bundle
    spec: InputSpec
    backend_name: str
    precision: str
    threads: int

    def logits(self, pictures: Pictures) -> Rows:
        """Of pictures at input size."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Figures of the machine and the engine named.

    Attributes:
        p50_ms: of one picture, from pixels at input size to logits; ``parent_ms`` the parent's in the same rounds.
        images_per_s: in batches of ``batch``.
        faster: how many times the parent's speed, one picture at a time; ``spread`` is half the distance of the
            rounds' quartiles.
        throughput: likewise, in batches.
    """

    device: str
    backend: str
    precision: str
    threads: int
    batch: int
    p50_ms: float
    parent_ms: float
    images_per_s: float
    faster: float
    spread: float
    throughput: float
    throughput_spread: float


def measure_speed(candidate: Timed, parent: Timed, options: Measuring, *, clock: Clock = time.perf_counter) -> Speed:
    """Measure both.

    Raises:
        BackendError: an engine failed.
    """
    single = _rounds(candidate, parent, 1, options.seconds, clock)
    batch = min(options.batch, candidate.spec.max_batch or options.batch, parent.spec.max_batch or options.batch)
    many = _rounds(candidate, parent, batch, options.seconds, clock)
    return Speed(
        device=cpu_features().model,
        backend=candidate.backend_name,
        precision=candidate.precision,
        threads=candidate.threads,
        batch=batch,
        p50_ms=1e3 * statistics.median(mine for mine, _ in single),
        parent_ms=1e3 * statistics.median(theirs for _, theirs in single),
        images_per_s=batch / statistics.median(mine for mine, _ in many),
        faster=_ratio(single),
        spread=_spread(single),
        throughput=_ratio(many),
        throughput_spread=_spread(many),
    )


def times_as_fast(candidate: Timed, parent: Timed, seconds: float) -> float:
    """The median of the rounds' ratios, one picture at a time; ``seconds`` for both together.

    Raises:
        BackendError: an engine failed.
    """
    return _ratio(_rounds(candidate, parent, 1, seconds, time.perf_counter))


def _rounds(candidate: Timed, parent: Timed, batch: int, seconds: float, clock: Clock) -> list[tuple[float, float]]:
    """Median seconds of a run in each round: the candidate's, the parent's."""
    works = [_work(candidate, batch), _work(parent, batch)]
    for work in works:
        work()  # caches and arenas fill
    found = []
    for number in range(ROUNDS):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        taken = {place: _median(works[place], seconds / (2 * ROUNDS), clock) for place in order}
        found.append((taken[0], taken[1]))
    return found


def _work(model: Timed, batch: int) -> Callable[[], None]:
    pictures = model.bundle.check().pictures
    batches = cycle(
        [np.ascontiguousarray(np.resize(np.roll(pictures, -i, 0), (batch, *pictures.shape[1:]))) for i in range(4)]
    )

    def work() -> None:
        model.logits(next(batches))

    return work


def _median(work: Callable[[], None], seconds: float, clock: Clock) -> float:
    """Seconds of a run, of one at least."""
    times: list[float] = []
    until = clock() + seconds
    while not times or clock() < until:
        begun = clock()
        work()
        times.append(clock() - begun)
    return statistics.median(times)


def _ratio(rounds: list[tuple[float, float]]) -> float:
    return statistics.median(parent / mine for mine, parent in rounds)


def _spread(rounds: list[tuple[float, float]]) -> float:
    low, _, high = statistics.quantiles([parent / mine for mine, parent in rounds], n=4)
    return (high - low) / 2
