"""Measure now: batches of every size on the server's own instances, and requests at a server without a model.

t(n) is timed as the server times it, from the first decode to the last answer, with all instances at work at once, in
turns over the sizes so that a slow moment falls on all alike.
"""

import datetime
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from model_zoo.bundle import Bundle
from server.admission import BatchLimits
from server.backends.batches import sizes_up_to
from server.backends.cpu_features import cpu_features
from server.backends.threads import available_cores
from server.batcher import Batcher
from server.benchmark_pictures import EncodedPicture
from server.benchmark_run import Work, run_slice
from server.config import Config
from server.instance import Instance
from server.job import Job, StageTimes
from server.loading import load
from server.planning.measured import ASSUMED_ADDED_S, ASSUMED_REQUEST_S, Measured, Spread
from server.planning.request_cost import RequestCost, measured_cost
from server.served_model import LoadedModel

ROUNDS = 5
NOT_MEASURED = RequestCost(ASSUMED_REQUEST_S, ASSUMED_ADDED_S)


def measure(bundle: Bundle, pictures: Sequence[EncodedPicture], config: Config, seconds: float) -> Measured:
    """Measure a model on this machine: for about ``seconds``, and as long as its engines and a server take to start.

    Args:
        config: backend, device, instances, threads and ``max_batch_size`` are of interest.
    Raises:
        BackendError: no engine takes the bundle.
        PictureError, InternalError: a picture or a batch failed.
    """
    loaded = load(config, bundle)
    with ExitStack() as opened:
        for backend in loaded.backends:
            opened.callback(backend.close)
        batch_s, times, factors = _batches(loaded, pictures, seconds * 2 / 3)
    cost = measured_cost(bundle, [data for data, _ in pictures], seconds / 3)
    note = "CPU and delay of a request are assumed: they could not be measured here (--request-ms, --added-ms)"
    first = loaded.backends[0]
    return Measured(
        model=bundle.spec.name,
        version=bundle.spec.version,
        source="measured here",
        machine=cpu_features().model,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        backend=first.name,
        device=first.device.partition(":")[0],
        instances=len(loaded.backends),
        threads=loaded.threads,
        cores=available_cores(),
        batch_s=batch_s,
        decode_s=statistics.fmean(one.decode for one in times),
        preprocess_s=statistics.fmean(one.preprocess for one in times),
        request_s=(cost or NOT_MEASURED).cpu_s,
        added_s=(cost or NOT_MEASURED).added_s,
        spread=Spread.of(factors),
        notes=() if cost else (note,),
    )


def _batches(
    loaded: LoadedModel, pictures: Sequence[EncodedPicture], seconds: float
) -> tuple[dict[int, float], list[StageTimes], list[float]]:
    """t(n) as a mean, the stages of every picture, and every batch's share of its size's mean."""
    batcher = Batcher(BatchLimits(max_batch_size=loaded.max_batch_size), lambda refused: None)
    instances = [
        Instance(number, backend, loaded.bundle, batcher, lambda jobs: None)
        for number, backend in enumerate(loaded.backends)
    ]
    times: list[StageTimes] = []
    sizes = sizes_up_to(loaded.max_batch_size)
    samples: dict[int, list[float]] = defaultdict(list)
    for size in sizes:
        run_slice(_works(instances, pictures, size, []), 0.0)  # caches and arenas fill
    for number in range(ROUNDS):
        for size in sizes if number % 2 == 0 else reversed(sizes):
            latencies_s, _ = run_slice(_works(instances, pictures, size, times), seconds / ROUNDS / len(sizes))
            samples[size] += latencies_s
    means = {size: statistics.fmean(samples[size]) for size in sizes}
    return means, times, [one / means[size] for size in sizes for one in samples[size]]


def _works(
    instances: Sequence[Instance], pictures: Sequence[EncodedPicture], size: int, times: list[StageTimes]
) -> list[Work]:
    return [_work(instance, pictures, size, offset, times) for offset, instance in enumerate(instances)]


def _work(
    instance: Instance, pictures: Sequence[EncodedPicture], size: int, turn: int, times: list[StageTimes]
) -> Callable[[], None]:
    def work() -> None:
        nonlocal turn
        jobs = [Job(*pictures[(turn + row) % len(pictures)], deadline_s=math.inf) for row in range(size)]
        turn += size
        instance.serve(jobs)
        for job in jobs:
            if isinstance(job.result, BaseException):
                raise job.result
        times.extend([job.times for job in jobs])

    return work
