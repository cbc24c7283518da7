"""The simulated machine beside the server's own ``ServedModel`` in virtual time: the same latencies, one by one."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from server.admission import BatchLimits
from server.errors import OverloadedError
from server.job import Answer, Job
from server.planning.simulate import WARM_UP, Machine, simulate
from server.served_model import LoadedModel
from tests.server.gated_backend import GatedBackend, loaded_with
from tests.server.planning.measured_times import each
from tests.server.virtual_model import PICTURE, VirtualModel
from tests.server.virtual_time import run_virtually

REQUESTS = 1_500
LARGEST = 8


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The bundle, without an engine."""
    return loaded_with(tmp_path_factory.mktemp("store"), [])


@dataclass
class Crowd:
    """Posts pictures at the times that a seed says, and notes how long each took; a refused one took for ever."""

    rate: float
    seed: int
    latencies_s: list[float] = field(default_factory=lambda: [float("inf")] * REQUESTS)

    async def post(self, at: VirtualModel) -> None:
        arrivals = random.Random(f"{self.seed} arrivals")
        due_s = at.clock()
        for number in range(REQUESTS):
            due_s += arrivals.expovariate(1.0) / self.rate
            await asyncio.sleep(due_s - at.clock())
            try:
                future = at.model.submit(Job(PICTURE, None, due_s + 5.0))
            except OverloadedError:
                continue
            future.add_done_callback(lambda done, n=number, s=due_s: self._ended(done, n, at.clock() - s))
            at.submitted()
        await asyncio.sleep(10.0)

    def _ended(self, future: "asyncio.Future[Answer]", number: int, latency_s: float) -> None:
        if future.exception() is None:
            self.latencies_s[number] = latency_s


def served(
    on_disk: LoadedModel, limits: BatchLimits, instances: int, run_s: Callable[[int], float], crowd: Crowd
) -> None:
    loaded = replace(on_disk, backends=tuple(GatedBackend() for _ in range(instances)))

    async def scenario() -> None:
        async with VirtualModel(loaded, limits, run_s) as at:
            await crowd.post(at)

    run_virtually(scenario())


@pytest.mark.parametrize("share", [0.4, 0.8, 1.5])
@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("run_s", [lambda n: 0.01 * n, lambda n: 0.02 + n * 1e-3], ids=["steep", "flat"])
def test_the_same_as_the_server_s_own_queue(
    on_disk: LoadedModel, run_s: Callable[[int], float], instances: int, share: float
) -> None:
    limits = BatchLimits(max_batch_size=LARGEST)
    most = instances * max(n / run_s(n) for n in (1, LARGEST))
    crowd = Crowd(share * most, seed=4)
    served(on_disk, limits, instances, run_s, crowd)
    outcome = simulate(Machine(0, instances, 1, limits), each(run_s, LARGEST), crowd.rate, REQUESTS, crowd.seed)
    expected = sorted(crowd.latencies_s[int(REQUESTS * WARM_UP) :])
    assert list(outcome.latencies_s) == pytest.approx(expected, abs=1e-6)
