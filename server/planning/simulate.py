"""One machine under Poisson arrivals, in virtual time, with the server's own batcher.

The model is told in the package's docstring. Seeded: the same question has the same answer, and two rates meet the
same crowd, in other steps, so that what differs between them is the rate.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from server.admission import BatchLimits
from server.batcher import Batcher
from server.errors import OverloadedError, ServingError
from server.job import Job
from server.percentiles import nearest_rank
from server.planning.measured import Measured

WARM_UP = 0.1  # of the requests: sent first, and not counted
TIMEOUT_S = 5.0  # the server's own default


@dataclass(frozen=True, slots=True)
class Machine:
    """``instances`` of ``threads`` each on ``cores``; on GPUs the cores are 0, and the HTTP loop has its own."""

    cores: int
    instances: int
    threads: int
    limits: BatchLimits


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a machine's requests. ``latencies_s`` rise; a refused request's is infinite.

    ``instances_busy`` and ``loop_busy`` are shares of the time, 0 to 1. ``batch_size``, ``queue_images`` and
    ``inflight_images`` are means, the last two over time: what the server's gauges of these names would show.
    """

    rate: float
    latencies_s: tuple[float, ...]
    instances_busy: float
    loop_busy: float
    batch_size: float
    queue_images: float
    inflight_images: float

    @property
    def refused(self) -> float:
        """The share that got no answer."""
        return sum(map(math.isinf, self.latencies_s)) / len(self.latencies_s)

    def percentile(self, per_mille: int) -> float:
        """Nearest rank, in seconds; infinite where too many were refused."""
        return nearest_rank(self.latencies_s, per_mille)


def simulate(machine: Machine, measured: Measured, rate: float, requests: int, seed: int = 0) -> Outcome:
    """Send ``requests`` at ``rate`` a second on average, each one picture, and wait for all.

    Raises:
        ValueError: no rate, or no requests.
    """
    if rate <= 0 or requests < 1:
        raise ValueError(f"a simulation needs a rate and requests, not {rate} and {requests}")
    arrivals = random.Random(f"{seed} arrivals")
    arrived_s = list(itertools.accumulate(arrivals.expovariate(1.0) / rate for _ in range(requests)))
    return replace(simulate_arrivals(machine, measured, arrived_s, int(requests * WARM_UP), seed), rate=rate)


def simulate_arrivals(
    machine: Machine, measured: Measured, arrived_s: Sequence[float], uncounted: int, seed: int = 0
) -> Outcome:
    """Send each picture at its time, in seconds from the start and rising, and wait for all.

    Args:
        uncounted: so many, the first, warm up; there are more of them.
    Raises:
        ValueError: none is counted.
    """
    if uncounted >= len(arrived_s):
        raise ValueError(f"of {len(arrived_s)} requests {uncounted} are not counted, which leaves none")
    return _Simulation(machine, measured, seed).run(list(arrived_s), uncounted)


class _Simulation:
    """Events in the order of their time. One run each."""

    def __init__(self, machine: Machine, measured: Measured, seed: int) -> None:
        self._machine = machine
        self._now_s = 0.0
        self._half_s = measured.request_s / 2
        self._besides_s = max(0.0, measured.added_s - measured.request_s)
        self._model = measured.latency_model()
        self._spread = measured.spread
        self._factors = random.Random(f"{seed} factors")
        self._events: list[tuple[float, int, Callable[[int], None], int]] = []
        self._sequence = 0
        self._latencies_s: list[float] = []
        self._arrived_s: list[float] = []
        self._numbers: dict[Job, int] = {}
        self._loop_free_s = self._loop_busy_s = self._instances_busy_s = 0.0
        self._waiting_images_s = self._running_images_s = 0.0
        self._batches = self._served = self._turn = 0
        self._idle = list(range(machine.instances))
        self._running: dict[int, tuple[list[Job], float]] = {}  # instance → its batch, when it began
        self._ends_s = [0.0] * machine.instances
        self._batcher = Batcher(machine.limits, self._too_late, lambda: self._now_s)
        for _ in range(machine.instances):
            self._batcher.join()
        for images in measured.batch_s:
            if images <= machine.limits.max_batch_size:
                self._batcher.learn(images, measured.batch_s[images])

    def run(self, arrived_s: list[float], uncounted: int) -> Outcome:
        self._arrived_s = arrived_s
        self._latencies_s = [math.inf] * len(arrived_s)
        self._at(self._arrived_s[0], self._arrive, 0)
        while self._events:
            self._now_s, _, happen, number = heapq.heappop(self._events)
            happen(number)
        elapsed_s = self._now_s
        return Outcome(
            rate=len(arrived_s) / arrived_s[-1],
            latencies_s=tuple(sorted(self._latencies_s[uncounted:])),
            instances_busy=self._instances_busy_s / elapsed_s / self._machine.instances,
            loop_busy=self._loop_busy_s / elapsed_s,
            batch_size=self._served / max(1, self._batches),
            queue_images=self._waiting_images_s / elapsed_s,
            inflight_images=self._running_images_s / elapsed_s,
        )

    def _at(self, time_s: float, happen: Callable[[int], None], number: int) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (time_s, self._sequence, happen, number))

    def _arrive(self, number: int) -> None:
        self._at(self._through_loop(), self._admit, number)
        if number + 1 < len(self._arrived_s):
            self._at(self._arrived_s[number + 1], self._arrive, number + 1)

    def _through_loop(self) -> float:
        """Half a request's work for the loop, behind what it has already; returns when that is done."""
        self._loop_free_s = max(self._now_s, self._loop_free_s) + self._half_s
        self._loop_busy_s += self._half_s
        busy = list(self._running)
        if busy and len(busy) * self._machine.threads >= self._machine.cores > 0:
            self._turn += 1
            self._ends_s[busy[self._turn % len(busy)]] += self._half_s / self._machine.threads
        return self._loop_free_s

    def _admit(self, number: int) -> None:
        job = Job(b"", None, self._now_s + TIMEOUT_S)
        self._numbers[job] = number
        try:
            self._batcher.submit([job])
        except OverloadedError:
            del self._numbers[job]
            return
        self._feed()

    def _feed(self) -> None:
        while self._idle:
            batch = self._batcher.take(block=False)
            if not batch:
                return
            instance = self._idle.pop()
            self._running[instance] = batch, self._now_s
            self._waiting_images_s += sum(self._now_s - job.arrived_s for job in batch)
            factor = self._spread.at(self._factors.random())
            self._ends_s[instance] = self._now_s + self._model.predict(len(batch)) * factor
            self._at(self._ends_s[instance], self._finish, instance)

    def _finish(self, instance: int) -> None:
        if self._now_s < self._ends_s[instance]:  # the loop took some of its time meanwhile
            self._at(self._ends_s[instance], self._finish, instance)
            return
        batch, began_s = self._running.pop(instance)
        seconds = self._now_s - began_s
        self._instances_busy_s += seconds
        self._running_images_s += seconds * len(batch)
        self._batches += 1
        self._served += len(batch)
        self._idle.append(instance)
        self._batcher.finished(batch, len(batch), seconds)
        self._feed()
        for job in batch:
            number = self._numbers.pop(job)
            self._latencies_s[number] = self._through_loop() + self._besides_s - self._arrived_s[number]

    def _too_late(self, late: list[tuple[Job, ServingError]]) -> None:
        for job, _ in late:
            del self._numbers[job]
