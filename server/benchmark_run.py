"""Measuring engines against each other on a machine that is never quite still.

Everything compared is measured in turns, A B C … C B A …, in short slices, so
that a neighbour's load or a warmer CPU falls on all alike; what is
reported is the median over the rounds, with their spread. CPU time per picture
is told beside it: where other programs want the same cores, it still compares. In a slice each
instance of a plan runs batches in a thread of its own, without a pause, as it
would under full load. A slice ends after the batch that is running then; nothing
is killed.

Two kinds of work: ``run`` gives ready pixels to the engine; ``path`` begins with
encoded bytes: header, decode, preprocess, then the engine. ``path`` is the most that any
server in one process could answer on this machine; what it answers less is its cost.
"""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.preprocess import prepare
from server.backends import Backend
from server.backends.threads import ThreadPlan
from server.benchmark_pictures import EncodedPicture

Kind = Literal["run", "path"]
Work = Callable[[], None]
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to run the model: a backend in ``plan.instances`` instances."""

    plan: ThreadPlan
    instances: tuple[Backend, ...]
    label: str
    check: str

    @property
    def backend(self) -> str:
        """Its name in ``BACKENDS``."""
        return self.instances[0].name

    @property
    def precision(self) -> str:
        """What it computes in."""
        return self.instances[0].precision


@dataclass(slots=True)
class Cell:
    """One line of the table, filled slice by slice."""

    engine: Engine
    kind: Kind
    batch: int
    work: tuple[Work, ...]
    latencies_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def images_per_s(self) -> float:
        """The median over the rounds; 0 before the first."""
        return statistics.median(self.rates) if self.rates else 0.0

    @property
    def cpu_ms_per_image(self) -> float:
        """What one picture costs in CPU time, of all threads; the median over the rounds."""
        return statistics.median(self.cpu_s) * 1e3 if self.cpu_s else 0.0


def run_cell(engine: Engine, bundle: Bundle, batch: int) -> Cell:
    """The engine alone, on the bundle's check pictures."""
    pictures = bundle.check().pictures
    rows = np.ascontiguousarray(pictures[np.arange(batch) % len(pictures)])

    def work_of(backend: Backend) -> Work:
        own = rows.copy()
        return lambda: _discard(backend.run(own))

    return Cell(engine, "run", batch, tuple(work_of(backend) for backend in engine.instances))


def path_cell(engine: Engine, bundle: Bundle, batch: int, pictures: Sequence[EncodedPicture]) -> Cell:
    """From encoded bytes to outputs; each instance prepares its own batches, as in the server."""
    spec = bundle.spec.input

    def work_of(backend: Backend, offset: int) -> Work:
        pixels = np.empty((batch, spec.height, spec.width, spec.channels), np.uint8)
        turn = offset

        def work() -> None:
            nonlocal turn
            for row in range(batch):
                data, header = pictures[turn % len(pictures)]
                pixels[row] = prepare(data, header, spec)
                turn += 1
            _discard(backend.run(pixels))

        return work

    return Cell(engine, "path", batch, tuple(work_of(one, number) for number, one in enumerate(engine.instances)))


def measure(
    cells: Sequence[Cell], seconds: float, *, rounds: int = ROUNDS, on_slice: Callable[[int, int], None] | None = None
) -> int:
    """Fill the cells in interleaved rounds; returns how many rounds were whole.

    It takes about ``seconds``, and stops after the first whole round that ends
    beyond that, however slow the model is.

    Args:
        on_slice: told (slices done, slices planned).
    Raises:
        BackendError: an engine failed.
        PictureError: a picture can't be decoded.
    """
    for cell in cells:
        run_slice(cell.work, 0.0)  # caches and arenas fill
    slice_s = seconds / (rounds * max(1, len(cells)))
    began_s = time.perf_counter()
    done = 0
    for number in range(rounds):
        for cell in cells if number % 2 == 0 else reversed(cells):
            cpu_s = time.process_time()
            latencies_s, elapsed_s = run_slice(cell.work, slice_s)
            images = len(latencies_s) * cell.batch
            cell.latencies_s += latencies_s
            cell.rates.append(images / elapsed_s)
            cell.cpu_s.append((time.process_time() - cpu_s) / images)
            done += 1
            if on_slice:
                on_slice(done, rounds * len(cells))
        if time.perf_counter() - began_s >= seconds:
            return number + 1
    return rounds


def run_slice(work: Sequence[Work], seconds: float) -> tuple[list[float], float]:
    """Repeat each work in its own thread for ``seconds``, at least once.

    Returns:
        The seconds of every repetition, and those of the whole slice.
    Raises:
        Exception: the first that a work raised; KeyboardInterrupt after the running repetitions.
    """
    stop = threading.Event()
    ready = threading.Barrier(len(work))

    def repeat(one: Work) -> list[float]:
        ready.wait()
        latencies_s: list[float] = []
        until_s = time.perf_counter() + seconds
        while not stop.is_set():
            start_s = time.perf_counter()
            one()
            end_s = time.perf_counter()
            latencies_s.append(end_s - start_s)
            if end_s >= until_s:
                break
        return latencies_s

    began_s = time.perf_counter()
    with ThreadPoolExecutor(len(work)) as pool:
        futures = [pool.submit(repeat, one) for one in work]
        try:
            each = [future.result() for future in futures]
        except BaseException:
            stop.set()
            raise
    elapsed_s = time.perf_counter() - began_s
    return [one for latencies_s in each for one in latencies_s], elapsed_s


def _discard(outputs: tuple[NDArray[np.float32], ...]) -> None:
    """The answer is not looked at; it was checked when the engine was opened."""
