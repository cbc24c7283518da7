"""One instance of a model: a thread that takes batches, prepares, runs and answers them.

A picture that cannot be decoded fails alone, before the batch is formed. What the
engine returns is counted before any answer leaves. Nothing that happens to one
batch ends the thread: a fault of ours fails that batch and is logged.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.errors import PictureError
from model_zoo.preprocess import PrepareTimes, prepare
from model_zoo.spec import OutputSpec
from model_zoo.top_k import activate, top_k
from server.backends import Backend
from server.batcher import Batcher, Clock
from server.errors import InternalError
from server.job import Answer, Job, Prediction

log = logging.getLogger("quickeye.instance")

Deliver = Callable[[list[Job]], None]


class Instance:
    """Serves one model's batcher with one backend until the batcher is closed.

    ``deliver`` gets every batch once, all jobs with their ``result`` set, from
    this instance's thread.
    """

    def __init__(self, number: int, backend: Backend, bundle: Bundle, batcher: Batcher, deliver: Deliver) -> None:
        self.backend = backend
        self._spec = bundle.spec
        self._labels = bundle.labels
        self._batcher = batcher
        self._deliver = deliver
        self._clock: Clock = time.monotonic
        shape = (
            batcher.limits.max_batch_size,
            self._spec.input.height,
            self._spec.input.width,
            self._spec.input.channels,
        )
        self._pixels: NDArray[np.uint8] = np.empty(shape, np.uint8)
        self._thread = threading.Thread(target=self._serve, name=f"{self._spec.name}-{number}", daemon=True)

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
        ready = self._prepare(batch)
        if ready:
            try:
                self._run(ready)
            except Exception:
                log.exception("a batch of %d failed in backend %s", len(ready), self.backend.name)
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
        self._batcher.finished(len(batch), served, self._clock() - started_s)
        try:
            self._deliver(batch)
        except Exception:  # whoever takes the answers must not end the thread either
            log.exception("a batch of %d could not be handed over", len(batch))

    def _prepare(self, batch: list[Job]) -> list[Job]:
        """Decode and preprocess what is still wanted into the first rows of the batch's memory."""
        ready: list[Job] = []
        for job in batch:
            if job.finished:  # cancelled or expired since it was taken
                job.result = InternalError("nobody waits for this answer")
                continue
            try:
                self._pixels[len(ready)] = self._input_of(job)
            except PictureError as error:
                job.result = error
                continue
            except Exception:  # no memory, or a fault of a decoder: this picture's alone, not its neighbours'
                log.exception("a picture could not be prepared")
                job.result = InternalError("the picture could not be prepared")
                continue
            ready.append(job)
        return ready

    def _input_of(self, job: Job) -> NDArray[np.uint8]:
        if job.header is None:
            return np.asarray(job.picture, np.uint8)
        times = PrepareTimes()
        if isinstance(job.picture, np.ndarray):
            raise InternalError("pixels come without a header")
        pixels = prepare(job.picture, job.header, self._spec.input, times)
        job.times.decode, job.times.preprocess = times.decode_s, times.preprocess_s
        return pixels

    def _run(self, ready: list[Job]) -> None:
        run_s = self._clock()
        outputs = self.backend.run(self._pixels[: len(ready)])
        ran_s = self._clock()
        counted(outputs, self._spec.outputs, len(ready))
        scores = activate(outputs[0], self._spec.outputs[0].activation)
        for row, job in enumerate(ready):
            job.times.infer = ran_s - run_s
            # Whatever was not spent on this picture was spent waiting, for an instance or for its neighbours.
            job.times.queue = max(0.0, run_s - job.arrived_s - job.times.decode - job.times.preprocess)
            job.result = self._answer(job, scores[row], len(ready))
            if not math.isfinite(job.result.best.score):
                log.error("backend %s gave %s for a picture", self.backend.name, job.result.best.score)
                job.result = InternalError("the model gave no finite score")
        each_s = (self._clock() - ran_s) / len(ready)
        for job in ready:
            job.times.postprocess = each_s

    def _answer(self, job: Job, scores: NDArray[np.float32], batch_size: int) -> Answer:
        options = job.options
        indices, values = top_k(scores, min(options.top_k, scores.shape[0]))
        ranked = [
            Prediction(index, self._labels[index], score)
            for index, score in zip(indices.tolist(), values.tolist(), strict=True)
        ]
        spec = self._spec.input
        width, height = (spec.width, spec.height) if job.header is None else job.header.upright_size
        wanted = [one for one in ranked if one.score >= options.threshold]
        return Answer(wanted, ranked[0], width, height, job.times, batch_size)


def counted(outputs: Sequence[NDArray[np.float32]], specs: Sequence[OutputSpec], rows: int) -> None:
    """Refuse outputs that are not one row per picture: an answer must never go to the wrong one.

    Raises:
        InternalError: too few outputs, or one with another number of rows.
    """
    if len(outputs) != len(specs):
        raise InternalError(f"the backend gave {len(outputs)} outputs instead of {len(specs)}")
    for output, spec in zip(outputs, specs, strict=True):
        if output.shape[0] != rows:
            raise InternalError(f"output {spec.name} has {output.shape[0]} rows for {rows} pictures")
