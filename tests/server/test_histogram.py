"""Our histograms tell what prometheus_client's own would, whatever goes in."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as ReferenceHistogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from server.histogram import Histogram

BOUNDS = (0.5, 1, 2.5, 1e6)

# Quarters add up exactly in any order; the bounds themselves are among them.
values = st.one_of(st.sampled_from(BOUNDS), st.integers(-40, 40).map(lambda number: number / 4), st.just(math.inf))
observations = st.lists(st.tuples(st.sampled_from(("shoes", 'odd "name"\n')), values), max_size=60)


def ours() -> tuple[Histogram, CollectorRegistry]:
    registry = CollectorRegistry()
    histogram = Histogram("latency_seconds", "How long it took.", ("model",), BOUNDS, threading.Lock())
    registry.register(histogram)
    return histogram, registry


@given(observations)
def test_both_formats_are_the_librarys(seen: list[tuple[str, float]]) -> None:
    histogram, registry = ours()
    reference_registry = CollectorRegistry()
    reference = ReferenceHistogram(
        "latency_seconds", "How long it took.", ("model",), buckets=BOUNDS, registry=reference_registry
    )
    for model, value in seen:
        histogram.labels(model).observe(value)
        reference.labels(model).observe(value)
    for told in (generate_latest, generate_openmetrics):
        assert without_creation(told(registry)) == without_creation(told(reference_registry))


@given(st.lists(st.tuples(values, st.one_of(st.none(), st.sampled_from(("a1", "b2")))), max_size=20))
def test_exemplars_are_the_librarys(seen: list[tuple[float, str | None]]) -> None:
    histogram, registry = ours()
    reference_registry = CollectorRegistry()
    reference = ReferenceHistogram(
        "latency_seconds", "How long it took.", ("model",), buckets=BOUNDS, registry=reference_registry
    )
    for value, trace in seen:
        labels = None if trace is None else {"trace_id": trace}
        histogram.labels("shoes").observe(value, labels)
        reference.labels("shoes").observe(value, labels)
    told, expected = (without_creation(generate_openmetrics(one)) for one in (registry, reference_registry))
    assert [without_time(line) for line in told] == [without_time(line) for line in expected]
    assert b" # " not in b"".join(without_creation(generate_latest(registry))[2:])


def without_time(line: bytes) -> bytes:
    """An exemplar's line without the moment of its value."""
    return line.rpartition(b" ")[0] if b"} " in line and b" # {" in line else line


def without_creation(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if b"_created" not in line]


def test_what_is_put_in_together_counts_as_what_is_put_in_alone() -> None:
    lock = threading.Lock()
    together = Histogram("a", "Together.", (), BOUNDS, lock).labels()
    alone = Histogram("b", "Alone.", (), BOUNDS, threading.Lock()).labels()
    with lock:
        for value in (0.1, 0.5, 3.0, 1e9):
            together.add(value)
    for value in (0.1, 0.5, 3.0, 1e9):
        alone.observe(value)
    assert together.read() == alone.read()
    assert together.read()[0] == [("0.5", 2.0), ("1.0", 2.0), ("2.5", 2.0), ("1e+06", 3.0), ("+Inf", 4.0)]


def test_without_labels_it_is_told_of_before_anything_happened() -> None:
    registry = CollectorRegistry()
    registry.register(Histogram("lag_seconds", "Lag.", (), BOUNDS, threading.Lock()))
    assert registry.get_sample_value("lag_seconds_count") == 0


def test_nothing_is_lost_between_threads() -> None:
    histogram, registry = ours()

    def observe(number: int) -> None:
        for _ in range(2000):
            histogram.labels(("shoes", "boots")[number % 2]).observe(1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(observe, range(4)))
    for model in ("shoes", "boots"):
        assert registry.get_sample_value("latency_seconds_count", {"model": model}) == 4000
        assert registry.get_sample_value("latency_seconds_sum", {"model": model}) == 4000
