"""One instance of a model: a thread that takes batches, prepares, runs and answers them.

A picture that cannot be decoded fails alone, before the batch is formed. What the
engine returns is counted before any answer leaves. Nothing that happens to one
batch ends the thread: a fault of ours fails that batch and is logged.

Where the engine resizes pictures on its device (``run_stored``), they are only decoded here; a batch with a frame of a
stream in it, whose thumbnail is wanted, pixels at the model's size or a picture too large is prepared here as ever.

A frame that hardly differs from the last one run of its stream leaves the batch
before it is run, with that one's scores (``frame_history.py``). What it cost is
left out of the batch's time, so that the latency model learns of runs alone.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.errors import PictureError
from model_zoo.preprocess import PrepareTimes, Stored, decode_for, prepare
from server.answers import Answers
from server.backends import Backend, preparing
from server.batcher import Batcher, Clock
from server.errors import AbandonedError, InternalError
from server.frame_history import FrameHistory, Thumbnail, thumbnail_of
from server.job import Job
from server.tracing.picture_trace import traces_of

log = logging.getLogger("quickeye.instance")

Deliver = Callable[[list[Job]], None]
Made = NDArray[np.uint8] | Stored


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
    ) -> None:
        self.backend = backend
        self.number = number
        self._spec = bundle.spec
        self._answers = Answers(bundle)
        self._batcher = batcher
        self._deliver = deliver
        self._decoders = decoders
        self._clock: Clock = time.monotonic
        shape = (
            batcher.limits.max_batch_size,
            self._spec.input.height,
            self._spec.input.width,
            self._spec.input.channels,
        )
        self._pixels: NDArray[np.uint8] = np.empty(shape, np.uint8)
        self._resizing = preparing(backend)
        self._thumbnails: dict[int, Thumbnail] = {}  # by row, of this batch's frames with a history
        self._spared_s = 0.0  # spent in this batch on frames that were not run
        name = f"{self._spec.name}/{self._spec.version} instance {number}"
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

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
        self._spared_s = 0.0
        self._thumbnails.clear()
        ready, stored = self._prepare(batch)
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
        measured_s = ended_s - started_s - self._spared_s
        self._batcher.finished(batch, served, measured_s)
        timeline = batch[0].batch
        if timeline is not None:
            timeline.instance, timeline.ended_s, timeline.measured_s = self.number, ended_s, measured_s
        try:
            self._deliver(batch)
        except Exception:  # whoever takes the answers must not end the thread either
            log.exception("a batch of %d could not be handed over", len(batch))

    def _may_resize(self, batch: list[Job]) -> bool:
        """Whether the engine can resize all of them."""
        if self._resizing is None:
            return False
        most = self._resizing.largest_picture_bytes // self._spec.input.channels
        return all(
            job.header is not None and job.history is None and job.header.width * job.header.height <= most
            for job in batch
        )

    def _prepare(self, batch: list[Job]) -> tuple[list[Job], list[Stored]]:
        """Decode and preprocess what is still wanted into the first rows of the batch's memory, or only decode it.

        Returns:
            The jobs to run; and their pictures, where the engine is to resize them.
        """
        ready: list[Job] = []
        stored: list[Stored] = []
        make = self._decoded if self._may_resize(batch) else self._input_of
        each = partial(self._made, make)
        made = map(each, batch) if self._decoders is None else self._decoders.map(each, batch)
        for job, one in zip(batch, made, strict=True):
            try:
                if isinstance(one, Exception):
                    job.result = one
                    continue
                if isinstance(one, Stored):
                    stored.append(one)
                else:
                    self._pixels[len(ready)] = one
                    if job.history is not None and self._repeated(job, job.history, one, len(ready)):
                        continue
            except Exception:  # a fault of ours: this picture's alone, not its neighbours'
                log.exception("a picture could not be prepared", extra=traces_of([job]))
                job.result = InternalError("the picture could not be prepared")
                continue
            ready.append(job)
        return ready, stored

    def _made(self, make: Callable[[Job], Made], job: Job) -> Made | Exception:
        """What one picture becomes, or why it does not; in whichever thread."""
        if job.finished:  # cancelled or expired since it was taken
            return AbandonedError("nobody waits for this answer")
        if job.trace is not None:
            job.trace.begun_s = self._clock()
        try:
            return make(job)
        except PictureError as error:
            return error
        except Exception:  # no memory, or a fault of a decoder
            log.exception("a picture could not be prepared", extra=traces_of([job]))
            return InternalError("the picture could not be prepared")

    def _input_of(self, job: Job) -> NDArray[np.uint8]:
        if job.header is None:
            return np.asarray(job.picture, np.uint8)
        times = PrepareTimes()
        if isinstance(job.picture, np.ndarray):
            raise InternalError("pixels come without a header")
        pixels = prepare(job.picture, job.header, self._spec.input, times)
        job.times.decode, job.times.preprocess = times.decode_s, times.preprocess_s
        return pixels

    def _decoded(self, job: Job) -> Stored:
        if job.header is None or isinstance(job.picture, np.ndarray):
            raise InternalError("pixels are not to be resized")
        times = PrepareTimes()
        stored = decode_for(job.picture, job.header, self._spec.input, times)
        job.times.decode = times.decode_s
        return stored

    def _repeated(self, job: Job, history: FrameHistory, pixels: NDArray[np.uint8], row: int) -> bool:
        """Answer a frame that need not be run; one that must be keeps its thumbnail for then."""
        started_s = self._clock()
        thumbnail = thumbnail_of(pixels)
        explain = job.options.explain and self._answers.explains
        last = history.repeated(thumbnail, explain)
        made_s = self._clock()
        times = job.times
        times.preprocess += made_s - started_s
        if last is None:
            self._thumbnails[row] = thumbnail
            return False
        job.result = self._answers.answer(job, last.scores, last.batch_size, last.shown if explain else None, True)
        answered_s = self._clock()
        times.postprocess = answered_s - made_s
        times.queue = max(0.0, made_s - job.arrived_s - times.decode - times.preprocess)
        self._spared_s += times.decode + times.preprocess + times.postprocess
        return True

    def _run(self, ready: list[Job], stored: list[Stored]) -> None:
        answers = self._answers
        pixels = self._pixels[: len(ready)]
        explain = answers.explains and any(job.options.explain for job in ready)
        timeline = ready[0].batch
        run_s = self._clock()
        if timeline is not None:
            timeline.run_s, timeline.ran = run_s, len(ready)
        if stored and self._resizing is not None:
            outputs = self._resizing.run_stored(stored, explain)
        else:
            outputs = self.backend.run(pixels, explain=True) if explain else self.backend.run(pixels)
        ran_s = self._clock()
        if timeline is not None:
            timeline.ran_s = ran_s
        scores = answers.scores(outputs, len(ready))
        maps = answers.maps(outputs) if explain else None
        for row, job in enumerate(ready):
            times = job.times
            times.infer = ran_s - run_s
            # Whatever was not spent on this picture was spent waiting, for an instance or for its neighbours.
            times.queue = max(0.0, run_s - job.arrived_s - times.decode - times.preprocess)
            shown = maps[row] if maps is not None and job.options.explain else None
            told = scores[row]
            if job.history is not None and np.isfinite(told).all():  # a history would never get over one that is not
                frame = job.history.ran(self._thumbnails[row], told, len(ready), shown)
                told, shown = frame.scores, frame.shown
            job.result = answers.answer(job, told, len(ready), shown)
            if not math.isfinite(job.result.best.score):
                log.error("backend %s gave %s for a picture", self.backend.name, job.result.best.score)
                job.result = InternalError("the model gave no finite score")
        each_s = (self._clock() - ran_s) / len(ready)
        for job in ready:
            job.times.postprocess = each_s
