"""One instance of a model: a thread that takes batches, has them prepared, runs and answers them.

What becomes of pictures before they are run is told in ``preparation.py``. What the
engine returns is counted before any answer leaves. Nothing that happens to one
batch ends the thread: a fault of ours fails that batch and is logged.

Where the engine finds the best classes on its device (``run_ranked``), only those come
back, unless somebody wants more.

What frames cost that needed no run is left out of the batch's time, so that the latency model learns of runs alone.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from model_zoo.bundle import Bundle
from model_zoo.preprocess import Stored
from server.answers import Answers, Outputs
from server.backends import Backend, Ranked, preparing, ranking
from server.batcher import Batcher, Clock
from server.errors import InternalError
from server.job import Job
from server.preparation import Preparation
from server.tracing.picture_trace import traces_of

log = logging.getLogger("quickeye.instance")

Deliver = Callable[[list[Job]], None]


class Instance:
    """Serves one model's batcher with one backend until the batcher is closed.

    ``deliver`` gets every batch once, all jobs with their ``result`` set, from
    this instance's thread. ``decoders`` share the preparation of a batch, for engines that wait for it on another
    device; without them this thread does it, as with an instance for every core.
    """

    def __init__(
        self,
        number: int,
        backend: Backend,
        bundle: Bundle,
        batcher: Batcher,
        deliver: Deliver,
        decoders: Executor | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.backend = backend
        self.number = number
        self._answers = Answers(bundle)
        self._batcher = batcher
        self._deliver = deliver
        self._clock = clock
        self._preparation = Preparation(
            backend, bundle.spec.input, self._answers, batcher.limits.max_batch_size, decoders, clock
        )
        self._resizing = preparing(backend)
        self._ranking = ranking(backend)
        self._device_seconds: Mapping[str, float] = getattr(backend, "device_seconds", {})
        name = f"{bundle.spec.name}/{bundle.spec.version} instance {number}"
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @property
    def decoded(self) -> Mapping[str, int]:
        """How many pictures were decoded so far, by where: ``cpu`` or ``gpu``."""
        return self._preparation.decoded

    def start(self) -> None:
        """Begin to take batches."""
        self._batcher.join()
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Wait for the thread after the batcher was closed; False when it still runs."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self.backend.close()
        return True

    def serve(self, batch: list[Job]) -> int:
        """Set ``result`` on every job of a batch; returns how many pictures the engine answered."""
        ready, stored = self._preparation.prepare(batch)
        if ready:
            try:
                self._run(ready, stored)
            except Exception:
                traces = traces_of(ready)
                log.exception("a batch of %d failed in backend %s", len(ready), self.backend.name, extra=traces)
                for job in ready:
                    job.result = InternalError("the backend failed")
                return 0  # how long a failure took teaches nothing
        return len(ready)

    def timed(self, batch: list[Job]) -> float:
        """Serve a batch outside the queue; returns its seconds."""
        started_s = self._clock()
        self.serve(batch)
        return self._clock() - started_s

    def _serve(self) -> None:
        while (batch := self._batcher.take()) is not None:
            self._serve_one(batch)
            del batch  # an instance that waits must not keep the last pictures in memory

    def _serve_one(self, batch: list[Job]) -> None:
        started_s = self._clock()
        served = 0
        try:
            served = self.serve(batch)
        except Exception:  # the thread must outlive any fault; every job still gets its answer below
            log.exception("a batch of %d failed", len(batch))
        for job in batch:
            if job.result is None:
                job.result = InternalError("the picture was lost")
        ended_s = self._clock()
        measured_s = ended_s - started_s - self._preparation.spared_s
        self._batcher.finished(batch, served, measured_s)
        timeline = batch[0].batch
        if timeline is not None:
            timeline.instance, timeline.ended_s, timeline.measured_s = self.number, ended_s, measured_s
        try:
            self._deliver(batch)
        except Exception:  # whoever takes the answers must not end the thread either
            log.exception("a batch of %d could not be handed over", len(batch))

    def _run(self, ready: list[Job], stored: list[Stored]) -> None:
        explain = self._answers.explains and any(job.options.explain for job in ready)
        timeline = ready[0].batch
        resized_s = self._resized_s()
        run_s = self._clock()
        if timeline is not None:
            timeline.run_s, timeline.ran = run_s, len(ready)
        outputs = self._outputs(ready, stored, explain)
        ran_s = self._clock()
        if timeline is not None:
            timeline.ran_s = ran_s
        resized_s = self._resized_s() - resized_s
        for job in ready:
            times = job.times
            # Whatever was not spent on this picture was spent waiting, for an instance or for its neighbours.
            times.queue = max(0.0, run_s - job.arrived_s - times.decode - times.preprocess)
            times.preprocess += resized_s
            times.infer = max(0.0, ran_s - run_s - resized_s)
        self._answers.tell(ready, outputs, self._preparation.thumbnails)
        each_s = (self._clock() - ran_s) / len(ready)
        for job in ready:
            job.times.postprocess = each_s

    def _resized_s(self) -> float:
        """Seconds that the engine's device spent on resizing, of all batches so far."""
        return self._device_seconds.get("preprocess", 0.0)

    def _outputs(self, ready: list[Job], stored: list[Stored], explain: bool) -> Ranked | Outputs:
        """What the engine says of a batch: the best classes, where that is all that is wanted and it finds them."""
        pixels = self._preparation.pixels[: len(ready)]
        if self._ranking is not None and not explain:
            most = min(max(job.options.top_k for job in ready), self._answers.classes)
            if most <= self._ranking.ranked_classes and all(job.history is None for job in ready):
                return self._ranking.run_ranked(stored or pixels)
        if stored and self._resizing is not None:
            return self._resizing.run_stored(stored, explain)
        return self.backend.run(pixels, explain=True) if explain else self.backend.run(pixels)
