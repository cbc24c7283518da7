"""What an answer costs, beside what it is worth: one picture at a time, on the engine that would serve it.

Models that are compared are measured in turns, A B B A …, so that a neighbour's load falls on both.
``quickeye benchmark`` measures more: batches, thread plans, the whole path from encoded bytes.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from optimize.judging.json_file import load_json, save_json
from optimize.judging.judged_model import BundleModel
from server.backends.cpu_features import cpu_features

ROUNDS = 6
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds for one picture, from pixels at input size to logits, over ``n`` runs."""

    model: str
    device: str
    backend: str
    precision: str
    threads: int
    n: int
    p50_ms: float
    p90_ms: float

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all.

        Raises:
            RunError: the disk refused.
        """
        save_json(path, self)

    @classmethod
    def load(cls, path: Path) -> "Latency":
        """Read what ``save`` wrote.

        Raises:
            DataError: not there, or something else.
        """
        return load_json(path, cls, "latency")


def measure_latency(
    models: Sequence[BundleModel], *, seconds: float = 2.0, clock: Clock = time.perf_counter
) -> tuple[Latency, ...]:
    """One line a model.

    Args:
        seconds: for each model, about.
        clock: seconds, rising.
    Raises:
        BackendError: an engine failed.
    """
    works = [_work(model) for model in models]
    times: list[list[float]] = [[] for _ in models]
    for work in works:
        work()  # caches and arenas fill
    places = list(range(len(models)))
    for number in range(ROUNDS):
        for place in places if number % 2 == 0 else reversed(places):
            times[place] += _slice(works[place], seconds / ROUNDS, clock)
    return tuple(_latency(model, each) for model, each in zip(models, times, strict=True))


def _work(model: BundleModel) -> Callable[[], None]:
    pictures = cycle([np.ascontiguousarray(one[None]) for one in model.bundle.check().pictures])

    def work() -> None:
        model.logits(next(pictures))

    return work


def _slice(work: Callable[[], None], seconds: float, clock: Clock) -> list[float]:
    """Seconds of each run, at least one."""
    times: list[float] = []
    until = clock() + seconds
    while not times or clock() < until:
        begun = clock()
        work()
        times.append(clock() - begun)
    return times


def _latency(model: BundleModel, times: list[float]) -> Latency:
    return Latency(
        model=model.name,
        device=cpu_features().model,
        backend=model.backend_name,
        precision=model.precision,
        threads=model.threads,
        n=len(times),
        p50_ms=1e3 * statistics.median(times),
        p90_ms=1e3 * float(np.percentile(times, 90)),
    )
