"""What becomes of a batch's pictures before the engine has them: decoded, resized, or spared a run.

One that can't be decoded fails alone, whoever decodes it and whatever goes wrong. Which way a batch takes:

- where the engine resizes on its device, pictures are only decoded here, and its device may have a share of that
  (``mixed_decoding.py``);
- a batch with a frame of a stream in it, whose thumbnail is wanted, pixels at the model's size or a picture too large
  for the device is decoded and resized here, as with any other engine.

A frame that hardly differs from the last one run of its stream leaves the batch with that one's scores
(``frame_history.py``).
"""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import PictureError
from model_zoo.preprocess import PrepareTimes, Stored, decode_for, prepare
from model_zoo.spec import InputSpec
from server.answers import Answers
from server.backends import Backend, decoding, preparing
from server.batcher import Clock
from server.errors import AbandonedError, InternalError
from server.frame_history import FrameHistory, Thumbnail, thumbnail_of
from server.job import Job
from server.mixed_decoding import MixedDecoding
from server.tracing.picture_trace import traces_of

log = logging.getLogger("quickeye.instance")

Made = NDArray[np.uint8] | Stored


class Preparation:
    """One instance's. Used by its thread, and by ``decoders`` where there are any.

    Attributes:
        pixels: uint8, (largest batch, H, W, C): what was resized here, from the first row on.
        thumbnails: by row, of this batch's frames with a history.
        spared_s: seconds spent in this batch on frames that need no run.
        decoded: pictures so far, by where they were decoded.
    """

    def __init__(
        self,
        backend: Backend,
        spec: InputSpec,
        answers: Answers,
        largest_batch: int,
        decoders: Executor | None,
        clock: Clock,
    ) -> None:
        self.pixels: NDArray[np.uint8] = np.empty((largest_batch, spec.height, spec.width, spec.channels), np.uint8)
        self.thumbnails: dict[int, Thumbnail] = {}
        self.spared_s = 0.0
        self.decoded: dict[str, int] = {"cpu": 0, "gpu": 0}
        self._spec = spec
        self._answers = answers
        self._decoders = decoders
        self._clock = clock
        self._resizing = preparing(backend)
        device = decoding(backend)
        by_cpu = partial(self._made, self._decoded)
        self._mixed: MixedDecoding | None = None
        if device is not None:
            self._mixed = MixedDecoding(device, spec.channels, by_cpu, self._refused, decoders, clock)

    def prepare(self, batch: list[Job]) -> tuple[list[Job], list[Stored]]:
        """Decode and preprocess what is still wanted into the first rows of ``pixels``, or only decode it.

        Returns:
            The jobs to run; and their pictures, where the engine is to resize them.
        """
        self.spared_s = 0.0
        self.thumbnails.clear()
        ready: list[Job] = []
        stored: list[Stored] = []
        for job, one in zip(batch, self._make(batch), strict=True):
            try:
                if isinstance(one, Exception):
                    job.result = one
                    continue
                if job.header is not None:
                    self.decoded[_decoded_on(one)] += 1
                if isinstance(one, Stored):
                    stored.append(one)
                else:
                    self.pixels[len(ready)] = one
                    if job.history is not None and self._repeated(job, job.history, one, len(ready)):
                        continue
            except Exception:  # a fault of ours: this picture's alone, not its neighbours'
                log.exception("a picture could not be prepared", extra=traces_of([job]))
                job.result = InternalError("the picture could not be prepared")
                continue
            ready.append(job)
        return ready, stored

    def _may_resize(self, batch: list[Job]) -> bool:
        """Whether the engine can resize all of them."""
        if self._resizing is None:
            return False
        most = self._resizing.largest_picture_bytes // self._spec.channels
        return all(
            job.header is not None and job.history is None and job.header.width * job.header.height <= most
            for job in batch
        )

    def _make(self, batch: list[Job]) -> Iterable[Made | Exception]:
        """What each becomes, in their order."""
        resizes = self._may_resize(batch)
        if resizes and self._mixed is not None:
            return self._mixed.decode(batch)
        each = partial(self._made, self._decoded if resizes else self._input_of)
        return map(each, batch) if self._decoders is None else self._decoders.map(each, batch)

    def _refused(self, job: Job) -> AbandonedError | None:
        """Why a picture need not be made any more; None: it is begun."""
        if job.finished:  # cancelled or expired since it was taken
            return AbandonedError("nobody waits for this answer")
        if job.trace is not None:
            job.trace.begun_s = self._clock()
        return None

    def _made(self, make: Callable[[Job], Made], job: Job) -> Made | Exception:
        """What one picture becomes, or why it does not; in whichever thread."""
        refusal = self._refused(job)
        if refusal is not None:
            return refusal
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
        pixels = prepare(job.picture, job.header, self._spec, times)
        job.times.decode, job.times.preprocess = times.decode_s, times.preprocess_s
        return pixels

    def _decoded(self, job: Job) -> Stored:
        if job.header is None or isinstance(job.picture, np.ndarray):
            raise InternalError("pixels are not to be resized")
        times = PrepareTimes()
        stored = decode_for(job.picture, job.header, self._spec, times)
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
            self.thumbnails[row] = thumbnail
            return False
        job.result = self._answers.answer(job, last.scores, last.batch_size, last.shown if explain else None, True)
        answered_s = self._clock()
        times.postprocess = answered_s - made_s
        times.queue = max(0.0, made_s - job.arrived_s - times.decode - times.preprocess)
        self.spared_s += times.decode + times.preprocess + times.postprocess
        return True


def _decoded_on(made: Made) -> str:
    return "gpu" if isinstance(made, Stored) and not isinstance(made.pixels, np.ndarray) else "cpu"
