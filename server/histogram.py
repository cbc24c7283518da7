"""Histograms for ``/metrics`` that cost a picture little: eight values go in under one lock.

prometheus_client takes two locks for every value and looks for its bucket from the first
on. Here a value is one bisection and two additions (``Distribution.add``), under a lock
that its caller may take once for many values; a scrape adds up the rest.

A value may leave an exemplar, which says where it comes from: a trace. Each bucket keeps its newest. Only OpenMetrics
has a place for them; the other format leaves them out.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class Distribution:
    """How the values of one set of labels are spread over the buckets."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_lock", "_sum")

    def __init__(self, bounds: tuple[float, ...], lock: threading.Lock) -> None:
        self._bounds = bounds
        self._lock = lock
        self._counts = [0] * (len(bounds) + 1)  # the last one: beyond every bound
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}  # by bucket

    def add(self, value: float) -> None:
        """Count one value; the caller holds the lock."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def exemplify(self, value: float, labels: dict[str, str]) -> None:
        """Keep where a counted value comes from; the caller holds the lock."""
        self._exemplars[bisect_left(self._bounds, value)] = Exemplar(labels, value, time.time())

    def observe(self, value: float, exemplar: dict[str, str] | None = None) -> None:
        """Count one value, and keep where it comes from."""
        with self._lock:
            self.add(value)
            if exemplar is not None:
                self.exemplify(value, exemplar)

    def read(self) -> tuple[list[Bucket], float]:
        """Each bound with how many values are at most that, as the exposition formats write it; and the sum."""
        with self._lock:
            counts, total, exemplars = list(accumulate(self._counts)), self._sum, dict(self._exemplars)
        buckets: list[Bucket] = []
        for row, bound in enumerate([*map(floatToGoString, self._bounds), "+Inf"]):
            found = exemplars.get(row)
            counted = float(counts[row])
            buckets.append((bound, counted) if found is None else (bound, counted, found))
        return buckets, total


class Histogram(Collector):
    """One metric. ``lock`` guards it, and may guard others too.

    Args:
        bounds: the buckets' upper bounds, rising; infinity is added.
    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Iterable[float], lock: threading.Lock
    ) -> None:
        self._name = name
        self._text = text
        self._label_names = labels
        self._bounds = tuple(float(bound) for bound in bounds)
        self._lock = lock
        self._of: dict[tuple[str, ...], Distribution] = {}
        if not labels:
            self.labels()  # it has one child, which is told of from the start

    def labels(self, *values: str) -> Distribution:
        """The values under these labels, in the order of the labels' names."""
        with self._lock:
            return self._of.setdefault(values, Distribution(self._bounds, self._lock))

    def collect(self) -> Iterable[Metric]:
        """What a scrape is told."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._label_names)
        with self._lock:
            known = list(self._of.items())
        for values, distribution in known:
            family.add_metric(values, *distribution.read())
        return [family]
