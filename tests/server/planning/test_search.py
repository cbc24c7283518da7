"""Plans: how many machines, what they are told to expect, and when there is none."""

from dataclasses import replace

import pytest

from server.admission import BatchLimits
from server.planning.errors import ImpossibleObjectiveError
from server.planning.measured import Spread
from server.planning.search import (
    Objective,
    bottleneck,
    capacity,
    check_possible,
    floor_s,
    largest_rate,
    machines_of,
    plan,
    plans,
)
from server.planning.simulate import Machine, simulate
from tests.server.planning.measured_times import PLAIN, machine, times

USUAL = replace(PLAIN, request_s=0.0005, added_s=0.001, spread=Spread.lognormal(0.1))


def test_the_largest_rate_meets_the_objective_and_a_tenth_more_does_not() -> None:
    one = Machine(2, 2, 1, BatchLimits(max_batch_size=1))
    most = largest_rate(one, USUAL, 0.040)
    assert simulate(one, USUAL, most, 20_000, seed=9).percentile(990) < 0.040 * 1.1
    assert simulate(one, USUAL, 1.1 * most, 20_000, seed=9).percentile(990) > 0.040


def test_a_later_objective_allows_more() -> None:
    one = machine()
    rates = [largest_rate(one, USUAL, p99_s) for p99_s in (0.016, 0.025, 0.050, 0.200)]
    assert rates == sorted(rates)
    assert 0 < rates[0] < rates[-1] < capacity(one, USUAL)["instances"]


def test_machines_are_enough_for_the_rate_and_what_is_kept_free() -> None:
    found = plan(USUAL, machine(2, cores=2), Objective(rate=1_000, p99_s=0.050, headroom=0.25))
    assert found is not None
    assert found.machines * found.largest_rate >= 1_250 > (found.machines - 1) * found.largest_rate
    assert found.expected.rate == pytest.approx(1_000 / found.machines)
    assert found.headroom == pytest.approx(found.machines * found.largest_rate / 1_000 - 1)
    assert found.expected.percentile(990) <= 0.050


def test_the_cheapest_plan_comes_first() -> None:
    found = plans(USUAL, machines_of(USUAL, [1, 2, 4], 1), Objective(200, 0.040))
    costs = [one.machines * one.machine.cores for one in found]
    assert costs == sorted(costs)
    assert {one.machine.cores for one in found} == {1, 2, 4}


def test_below_what_a_picture_takes_alone_nothing_helps() -> None:
    floor = floor_s(USUAL)
    assert floor == pytest.approx(0.010 * USUAL.spread.at(0.99) + 0.001)
    check_possible(USUAL, floor * 1.01)
    with pytest.raises(ImpossibleObjectiveError, match=rf"it is {floor * 1e3:.1f} ms \(decode 2\.0, .* infer 7\.0"):
        check_possible(USUAL, floor * 0.99)
    with pytest.raises(ImpossibleObjectiveError):
        plans(USUAL, machines_of(USUAL, [64], 1), Objective(1, 0.005))


def test_batch_limits_that_act_alike_are_one_plan() -> None:
    steep, flat = times({1: 0.01, 2: 0.02, 4: 0.04, 8: 0.08}), times({1: 0.01, 2: 0.0101, 4: 0.0102, 8: 0.0104})
    assert [one.limits.max_batch_size for one in machines_of(steep, [1], 8)] == [1]
    assert [one.limits.max_batch_size for one in machines_of(flat, [1], 8)] == [1, 2, 4, 8]


def test_larger_batches_carry_more_where_they_gain() -> None:
    flat = times({1: 0.01, 2: 0.0101, 4: 0.0102, 8: 0.0104})
    rates = [largest_rate(one, flat, 0.050) for one in machines_of(flat, [1], 8)]
    assert rates == sorted(rates)
    assert rates[-1] > 4 * rates[0]


def test_instances_keep_the_threads_that_they_were_measured_with() -> None:
    found = machines_of(replace(PLAIN, threads=4), [2, 4, 9], 1)
    assert [(one.cores, one.instances, one.threads) for one in found] == [(4, 1, 4), (9, 2, 4)]


def test_a_gpu_is_one_kind_of_machine() -> None:
    found = machines_of(replace(PLAIN, device="cuda", instances=2), [1, 2, 4], 1)
    assert [(one.cores, one.instances) for one in found] == [(0, 2)]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({}, "infer"),
        ({"decode_s": 0.006}, "decode"),
        ({"decode_s": 0.001, "preprocess_s": 0.008}, "preprocess"),
        ({"request_s": 0.020}, "http"),
    ],
)
def test_what_ends_first_is_named(more: dict[str, float], named: str) -> None:
    assert bottleneck(machine(), replace(PLAIN, **more)) == named  # type: ignore[arg-type]
