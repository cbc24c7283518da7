"""A batch's pictures decoded on the engine's device and by the CPU's threads, at the same time.

The device gets JPEGs alone, and only those that every decoder understands alike (``model_zoo/plain_jpeg.py``), so many
that both sides end together (``decode_shares.py``), and no more than its memory holds. What it refuses goes to the CPU,
whose pixels or error count. Where the device's decoder fails as a whole, the batch is the CPU's; after a few such
failures in a row it is asked no more.

Large photos stay with the CPU: libjpeg makes them smaller while it decodes, the device would decode, keep and resize
them whole. One of 12 megapixels takes 36 MB there, as much as forty of 640×480.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future

import numpy as np
from numpy.typing import NDArray

from model_zoo.plain_jpeg import is_plain_jpeg
from model_zoo.preprocess import Stored
from server.backends import DecodingBackend
from server.backends.errors import BackendError
from server.batcher import Clock
from server.decode_shares import DecodeShares
from server.job import Job

log = logging.getLogger("quickeye.decoding")

Made = NDArray[np.uint8] | Stored | Exception
LARGEST_PX = 4_000_000
FAILURES_IN_A_ROW = 3
TOLD_EVERY_S = 60.0
COLOURS = (1, 3)  # components of a JPEG that the device is given


class MixedDecoding:
    """One instance's. Used by its thread alone."""

    def __init__(
        self,
        backend: DecodingBackend,
        channels: int,
        by_cpu: Callable[[Job], Made],
        refused: Callable[[Job], Exception | None],
        decoders: Executor | None,
        clock: Clock,
    ) -> None:
        """Share out between two.

        Args:
            channels: of the model.
            by_cpu: decodes one, in any thread; an error is given, not raised.
            refused: why nobody waits for a picture any more, asked just before it is decoded; None: somebody does.
            decoders: the CPU's threads; None: the instance's own, after the device.
        """
        self._backend, self._channels = backend, channels
        self._by_cpu, self._refused = by_cpu, refused
        self._decoders, self._clock = decoders, clock
        self._shares = DecodeShares()
        self._failures = 0  # in a row
        self._told_s = -math.inf

    def decode(self, batch: Sequence[Job]) -> list[Made]:
        """What each becomes, in their order."""
        begun_s = self._clock()
        rows = self._rows_for_device(batch)
        mine = set(rows)
        others = [row for row in range(len(batch)) if row not in mine]
        waited = self._begin([batch[row] for row in others])
        made: dict[int, Made] = {}
        for row in rows:
            if (refusal := self._refused(batch[row])) is not None:
                made[row] = refusal
        asked = [row for row in rows if row not in made]
        made |= self._on_device(batch, asked)
        if self._decoders is None:
            begun_s = self._clock()
        ended_s = begun_s
        for row, (one, done_s) in zip(others, waited, strict=True):
            made[row] = one
            ended_s = max(ended_s, done_s)
        work = sum(_pixels(batch[row]) for row in others if isinstance(made[row], Stored))
        if work:
            self._shares.cpu.learn(work, ended_s - begun_s)
        left = [row for row in asked if row not in made]
        for row, (one, _) in zip(left, self._begin([batch[row] for row in left]), strict=True):
            made[row] = one
        return [made[row] for row in range(len(batch))]

    def _begin(self, jobs: Sequence[Job]) -> Iterator[tuple[Made, float]]:
        """Have the CPU start on them; gives what each became, and when."""
        if self._decoders is None:
            return map(self._timed, jobs)
        pending: list[Future[tuple[Made, float]]] = [self._decoders.submit(self._timed, job) for job in jobs]
        return (future.result() for future in pending)

    def _timed(self, job: Job) -> tuple[Made, float]:
        return self._by_cpu(job), self._clock()

    def _rows_for_device(self, batch: Sequence[Job]) -> list[int]:
        if self._failures == FAILURES_IN_A_ROW:
            return []
        room = self._backend.decoded_bytes
        rows: list[int] = []
        for row, job in enumerate(batch):
            size = _pixels(job) * self._channels
            if size <= room and _is_for_device(job):
                rows.append(row)
                room -= size
        if self._backend.shares_decoding:
            works = [_pixels(batch[row]) for row in rows]
            rest = sum(map(_pixels, batch)) - sum(works)
            rows = rows[: self._shares.for_device(works, rest)]
        return rows

    def _on_device(self, batch: Sequence[Job], rows: list[int]) -> dict[int, Made]:
        """What it decoded; each has the time that all of them took."""
        pictures = [
            (job.picture, job.header)
            for job in (batch[row] for row in rows)
            if job.header is not None and not isinstance(job.picture, np.ndarray)
        ]
        if not pictures:
            return {}
        started_s = self._clock()
        try:
            told = self._backend.decode(pictures)
        except BackendError as error:
            self._failed(error)
            return {}
        self._failures = 0
        seconds = self._clock() - started_s
        self._shares.device.learn(sum(_pixels(batch[row]) for row in rows), seconds)
        made: dict[int, Made] = {}
        for row, one in zip(rows, told, strict=True):
            if one is not None:
                made[row] = one
                batch[row].times.decode = seconds
        return made

    def _failed(self, error: BackendError) -> None:
        self._failures += 1
        if self._failures == FAILURES_IN_A_ROW:
            log.warning("JPEGs are decoded by the CPU from now on: %d failures in a row: %s", self._failures, error)
        elif self._clock() - self._told_s >= TOLD_EVERY_S:
            self._told_s = self._clock()
            log.warning("a batch's JPEGs are decoded by the CPU: %s", error)


def _pixels(job: Job) -> int:
    return job.header.width * job.header.height if job.header is not None else 0


def _is_for_device(job: Job) -> bool:
    header, data = job.header, job.picture
    if header is None or isinstance(data, np.ndarray) or job.finished:
        return False
    if header.format != "jpeg" or header.components not in COLOURS or _pixels(job) > LARGEST_PX:
        return False
    return is_plain_jpeg(data)
