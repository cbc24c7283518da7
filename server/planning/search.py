"""The largest rate that still meets an objective, and how many machines a rate takes.

Simulated latencies rise with the rate, so the largest is found by halving an interval. How it is spent: short
simulations to find it, a long one to say what to expect.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from server.admission import BatchLimits
from server.planning.errors import ImpossibleObjectiveError
from server.planning.measured import Measured
from server.planning.simulate import Machine, Outcome, simulate

SEARCHED_REQUESTS = 5_000
TOLD_REQUESTS = 20_000
HALVINGS = 7
LOWEST = 0.02  # of what a machine could answer: a plan that leaves it emptier than this is none
HIGHEST = 1.05


@dataclass(frozen=True, slots=True)
class Objective:
    """``rate`` pictures a second in all, of which 99 in 100 are answered within ``p99_s``.

    ``headroom`` is kept free for a busier day, as a share of the rate.
    """

    rate: float
    p99_s: float
    headroom: float = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """So many machines of one kind; ``expected`` is one of them at its share of the rate.

    ``largest_rate`` of one machine that meets the objective; ``headroom`` of all of them, as a share of the rate.
    """

    machine: Machine
    machines: int
    largest_rate: float
    expected: Outcome
    headroom: float
    bottleneck: str


def floor_s(measured: Measured) -> float:
    """The 99th percentile of a picture that finds the machine empty: no objective can be below."""
    return measured.batch_s[1] * measured.spread.at(0.99) + max(measured.added_s, measured.request_s)


def check_possible(measured: Measured, p99_s: float) -> None:
    """Whether an objective can be met at all.

    Raises:
        ImpossibleObjectiveError: it is below what a picture takes alone; says of what that consists.
    """
    floor = floor_s(measured)
    if p99_s > floor:
        return
    slowest = measured.spread.at(0.99)
    raise ImpossibleObjectiveError(
        f"99 in 100 within {p99_s * 1e3:g} ms cannot be met: with nobody else there it is {floor * 1e3:.1f} ms "
        f"(decode {measured.decode_s * 1e3:.1f}, preprocess {measured.preprocess_s * 1e3:.1f}, "
        f"infer {measured.infer_s * 1e3:.1f}, in the mean; {slowest:.2f} times that for the slowest in 100; "
        f"request {measured.added_s * 1e3:.1f}). More machines change nothing: take a faster model or engine"
    )


def machines_of(measured: Measured, cores: Iterable[int], max_batch_size: int) -> list[Machine]:
    """A machine for each number of cores and each batch limit that makes a difference.

    Instances have as many threads as when they were measured. On GPUs there is one kind: as measured.
    """
    model = measured.latency_model()
    sizes = [size for size in (2**power for power in range(9)) if size < max_batch_size] + [max_batch_size]
    limits = {model.efficient_size(size): size for size in reversed(sizes)}  # of those that act alike, the smallest
    kinds = [(0, measured.instances)]
    if measured.device == "cpu":
        kinds = [(count, count // measured.threads) for count in cores if count >= measured.threads]
    return [
        Machine(count, instances, measured.threads, BatchLimits(max_batch_size=limit))
        for count, instances in kinds
        for limit in sorted(limits.values())
    ]


def capacity(machine: Machine, measured: Measured) -> dict[str, float]:
    """Requests a second at which each part of a machine has no time left: ``http`` and ``instances``."""
    size = measured.latency_model().efficient_size(machine.limits.max_batch_size)
    each_s = measured.latency_model().predict(size) / size
    spare = machine.cores == 0 or machine.instances * machine.threads < machine.cores
    core_s = each_s if spare else each_s + measured.request_s / machine.threads
    http = 1.0 / measured.request_s if measured.request_s else math.inf
    return {"http": http, "instances": machine.instances / core_s}


def bottleneck(machine: Machine, measured: Measured) -> str:
    """What ends first as the rate grows: ``http``, or of the instances' work the largest part."""
    parts = capacity(machine, measured)
    if parts["http"] < parts["instances"]:
        return "http"
    size = measured.latency_model().efficient_size(machine.limits.max_batch_size)
    each_s = measured.latency_model().predict(size) / size
    shares = {"decode": measured.decode_s, "preprocess": measured.preprocess_s}
    shares["infer"] = each_s - sum(shares.values())
    return max(shares, key=shares.__getitem__)


def largest_rate(machine: Machine, measured: Measured, p99_s: float, seed: int = 0) -> float:
    """Requests a second at which one machine just meets the objective; 0 where it would have to stand idle."""
    limit = min(capacity(machine, measured).values())

    def meets(rate: float) -> bool:
        return simulate(machine, measured, rate, SEARCHED_REQUESTS, seed).percentile(990) <= p99_s

    low, high = LOWEST * limit, HIGHEST * limit
    if not meets(low):
        return 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low


def plan(measured: Measured, machine: Machine, objective: Objective, seed: int = 0) -> Plan | None:
    """How many of one machine; None when this kind cannot meet the objective unless it stands nearly idle."""
    most = largest_rate(machine, measured, objective.p99_s, seed)
    if not most:
        return None
    machines = math.ceil(objective.rate * (1 + objective.headroom) / most)
    expected = simulate(machine, measured, objective.rate / machines, TOLD_REQUESTS, seed)
    headroom = machines * most / objective.rate - 1
    return Plan(machine, machines, most, expected, headroom, bottleneck(machine, measured))


def plans(
    measured: Measured,
    machines: Iterable[Machine],
    objective: Objective,
    on_plan: Callable[[Machine], None] | None = None,
) -> list[Plan]:
    """All that meet the objective, cheapest first: fewest cores (GPUs), then fewest machines, then the quickest.

    Raises:
        ImpossibleObjectiveError: none can.
    """
    check_possible(measured, objective.p99_s)
    found = []
    for machine in machines:
        if on_plan:
            on_plan(machine)
        if (made := plan(measured, machine, objective)) is not None:
            found.append(made)
    return sorted(found, key=_cost)


def _cost(plan: Plan) -> tuple[int, int, float]:
    return plan.machines * max(1, plan.machine.cores), plan.machines, plan.expected.percentile(990)
