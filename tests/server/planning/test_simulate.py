"""The simulated machine against queueing theory, where that is exact, and against what must hold in any case."""

import math
from itertools import pairwise

import numpy as np
import pytest

from server.admission import BatchLimits
from server.planning.measured import SHARES, Measured, Spread
from server.planning.simulate import Machine, Outcome, simulate, simulate_arrivals
from tests.server.planning.measured_times import each, machine, times

REQUESTS = 20_000


def mean_wait_s(outcome: Outcome, service_s: float) -> float:
    return float(np.mean(outcome.latencies_s)) - service_s


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_one_instance_waits_as_pollaczek_and_khinchine_say(busy: float) -> None:
    """M/D/1: the mean wait is ρs / 2(1 − ρ)."""
    service_s = 0.001
    outcome = simulate(machine(), times({1: service_s}), busy / service_s, REQUESTS)
    assert mean_wait_s(outcome, service_s) == pytest.approx(busy * service_s / (2 * (1 - busy)), rel=0.08)
    assert outcome.instances_busy == pytest.approx(busy, rel=0.03)
    assert outcome.inflight_images == pytest.approx(busy, rel=0.03)
    assert outcome.queue_images == pytest.approx(busy**2 / (2 * (1 - busy)), rel=0.1), "Little: the rate times the wait"


def test_times_that_vary_wait_as_pollaczek_and_khinchine_say() -> None:
    """M/G/1: the mean wait is λ E[S²] / 2(1 − ρ); the second moment of straight lines is exact."""
    service_s, busy, spread = 0.001, 0.6, Spread.lognormal(0.6)
    ends = pairwise(zip(SHARES, spread.factors, strict=True))
    moment = sum((high - low) * (a * a + a * b + b * b) / 3 for (low, a), (high, b) in ends)
    outcome = simulate(machine(), times({1: service_s}, spread=spread), busy / service_s, 3 * REQUESTS)
    expected = busy * service_s * moment / (2 * (1 - busy))
    assert mean_wait_s(outcome, service_s) == pytest.approx(expected, rel=0.08)


def test_batches_wait_as_the_chain_of_their_ends_says() -> None:
    """M/D^[1,b]/1 with a run of one length: the chain of queue lengths at the ends of runs, solved here by numpy.

    The batcher may probe half of its batches in 64 with half of the size: that is within the tolerance.
    """
    run_s, batch, rate = 0.010, 8, 500.0
    outcome = simulate(machine(batch=batch), each(lambda n: run_s, batch), rate, REQUESTS)
    assert mean_wait_s(outcome, run_s) == pytest.approx(bulk_wait_s(run_s, batch, rate), rel=0.06)
    assert outcome.batch_size > 4


def bulk_wait_s(run_s: float, batch: int, rate: float, largest: int = 150) -> float:
    """Mean wait before a run: the mean queue over time, by Little's law.

    At the end of a run q wait. If q > 0 the next takes min(q, b) and leaves q − min(q, b) waiting, to whom arrivals add
    rate·t; if q = 0 the machine is idle for 1/rate on average, and the next run begins with one.
    """
    ahead = rate * run_s
    arrivals = np.array([math.exp(-ahead + k * math.log(ahead) - math.lgamma(k + 1)) for k in range(largest)])
    left = np.array([max(0, waiting - batch) for waiting in range(largest)])
    steps = np.zeros((largest, largest))
    for waiting in range(largest):
        room = largest - left[waiting]
        steps[waiting, left[waiting] :] = arrivals[:room]
        steps[waiting, -1] += 1 - steps[waiting].sum()
    values, vectors = np.linalg.eig(steps.T)
    share = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    share = share / share.sum()
    queue_seconds = float(share @ (left * run_s)) + ahead * run_s / 2
    cycle_s = run_s + float(share[0]) / rate
    return queue_seconds / cycle_s / rate


def test_the_same_seed_says_the_same_and_another_not() -> None:
    measured = times({1: 0.01}, spread=Spread.lognormal(0.3))
    first = simulate(machine(), measured, 50, 500, seed=1)
    assert first == simulate(machine(), measured, 50, 500, seed=1)
    assert first != simulate(machine(), measured, 50, 500, seed=2)


BATCHES = {1: 0.010, 2: 0.014, 4: 0.022, 8: 0.038}


@pytest.mark.parametrize(
    "measured", [times({1: 0.01}), times(BATCHES), times(BATCHES, request_s=0.002)], ids=["one", "batches", "requests"]
)
def test_a_higher_rate_is_never_quicker(measured: Measured) -> None:
    largest = max(measured.batch_s)
    found = [simulate(machine(2, largest), measured, rate, 4_000) for rate in (20, 80, 120, 150, 170)]
    for name in (500, 950, 990):
        values = [outcome.percentile(name) for outcome in found]
        assert values == sorted(values)


@pytest.mark.parametrize("batch", [1, 8])
def test_more_cores_are_never_slower(batch: int) -> None:
    """The HTTP loop shares the instances' cores."""
    measured = times({size: BATCHES[size] for size in BATCHES if size <= batch}, request_s=0.001, added_s=0.001)
    found = [simulate(machine(cores, batch, cores=cores), measured, 75, 4_000) for cores in (1, 2, 3, 4, 8)]
    for name in (500, 950, 990):
        values = [outcome.percentile(name) for outcome in found]
        assert values == sorted(values, reverse=True)


def test_an_empty_machine_answers_in_the_time_of_one_picture() -> None:
    outcome = simulate(machine(), times({1: 0.01}, request_s=0.001, added_s=0.003), 0.01, 200)
    assert outcome.latencies_s == pytest.approx([0.013] * 180)
    assert outcome.refused == 0


def test_the_loop_alone_is_a_queue_too() -> None:
    """Where a request costs the loop more than the picture costs the instances, requests wait for the loop."""
    outcome = simulate(machine(8), times({1: 1e-6}, request_s=0.002, added_s=0.002), 450, REQUESTS)
    assert outcome.loop_busy == pytest.approx(0.9, rel=0.03)
    assert outcome.instances_busy < 0.01
    assert outcome.percentile(500) > 0.003


def test_the_loop_takes_its_time_from_a_core_that_is_taken() -> None:
    """One core: 10 ms of picture and 2 ms of request are 12 ms; with a core more the loop has its own."""
    measured = times({1: 0.010}, request_s=0.002, added_s=0.002)
    shared = simulate(machine(1, cores=1), measured, 60, 4_000)
    alone = simulate(machine(1, cores=2), measured, 60, 4_000)
    assert shared.instances_busy > alone.instances_busy == pytest.approx(0.6, rel=0.05)
    assert shared.percentile(990) > alone.percentile(990)


def test_what_is_refused_counts_as_late() -> None:
    """At twice the rate that it can do the server refuses half, and no percentile may look good for it."""
    limits = BatchLimits(max_batch_size=1)
    outcome = simulate(Machine(2, 1, 1, limits), times({1: 0.010}), 200, 4_000)
    assert outcome.refused == pytest.approx(0.5, abs=0.05)
    assert outcome.percentile(400) < 0.3
    assert math.isinf(outcome.percentile(990))
    assert outcome.instances_busy == pytest.approx(1.0, abs=0.03)


def test_batches_grow_where_they_gain_and_not_elsewhere() -> None:
    flat = simulate(machine(batch=8), each(lambda n: 0.01, 8), 600, 4_000)
    steep = simulate(machine(batch=8), each(lambda n: 0.01 * n, 8), 90, 4_000)
    assert flat.batch_size > 5
    assert steep.batch_size < 1.1


@pytest.mark.parametrize(("rate", "requests"), [(0, 10), (-1, 10), (10, 0)])
def test_nothing_to_simulate_is_an_error(rate: float, requests: int) -> None:
    with pytest.raises(ValueError, match="a rate and requests"):
        simulate(machine(), times({1: 0.01}), rate, requests)


def test_given_arrivals_are_kept() -> None:
    """Two at once: the second waits for the first; one alone, later, does not."""
    crowd, measured = [1.0, 1.0, 2.0], times({1: 0.01})
    assert simulate_arrivals(machine(), measured, crowd, 0).latencies_s == pytest.approx((0.01, 0.01, 0.02))
    assert simulate_arrivals(machine(), measured, crowd, 2).latencies_s == pytest.approx((0.01,))
    with pytest.raises(ValueError, match="leaves none"):
        simulate_arrivals(machine(), measured, crowd, 3)
