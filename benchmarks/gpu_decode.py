"""The stage ``decode`` of ``benchmarks.gpu``: a race of the CPU's decoder, the device's, and both at once.

Each row is one racer and size of batch: decoded pictures a second, waited for, of a batch that the pictures are
repeated to fill. The device has the plain JPEGs alone; ``refused`` are how many of the batch it left. Both at once is
what serves: shares are learned while it is timed.
"""

import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import cycle, islice
from time import monotonic

from torch import Tensor

from benchmarks.gpu_subject import Figures, Subject, median_s
from model_zoo.decode import decode as decode_whole
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.plain_jpeg import is_plain_jpeg
from model_zoo.preprocess import Stored, decode_for
from server.backends.torch_engine.jpegs import JpegDecoder, decoded_on, difference, refuse_other_pixels
from server.backends.torch_engine.nvimgcodec import open_decoder
from server.job import Job
from server.mixed_decoding import MixedDecoding

Headed = tuple[bytes, Header]
DECODED_BYTES = 256 * 2**20


def decode(subject: Subject) -> list[Figures]:
    """A row for each racer and size."""
    headed = [(data, read_header(data, PictureLimits())) for data in subject.pictures]
    sizes = subject.sizes[-2:]
    cores = len(os.sched_getaffinity(0))
    one = [{"by": "one core", "batch": size, "per_s": _cpu(subject, headed, size, None)} for size in sizes]
    with ThreadPoolExecutor(cores) as pool:
        many = [{"by": f"{cores} cores", "batch": size, "per_s": _cpu(subject, headed, size, pool)} for size in sizes]
        try:
            decoder = open_decoder(subject.device.place, subject.bundle.spec.input.channels)
            refuse_other_pixels(subject.device, decoder, subject.bundle.spec.input)
        except Exception as error:  # noqa: BLE001 - no library, no device, a driver that fails
            told = " ".join(str(error).split())[:200]
            return [*one, *many, {"by": "device", "failed": told}, {"by": "both", "failed": told}]
        alone = [_device(subject, decoder, headed, size) for size in sizes]
        return [*one, *many, *alone, *(_both(subject, decoder, headed, size, pool) for size in sizes)]


def _cpu(subject: Subject, headed: Sequence[Headed], size: int, pool: Executor | None) -> float:
    spec, batch = subject.bundle.spec.input, _filled(headed, size)

    def decode_all() -> None:
        each = map if pool is None else pool.map
        for _ in each(lambda one: decode_for(*one, spec), batch):
            pass

    return size / median_s(subject.seconds, decode_all)


def _device(subject: Subject, decoder: JpegDecoder, headed: Sequence[Headed], size: int) -> Figures:
    spec = subject.bundle.spec.input
    plain = [(data, header) for data, header in headed if header.format == "jpeg" and is_plain_jpeg(data)]
    if not plain:
        return {"by": "device", "batch": size, "failed": "no plain JPEG among the pictures"}
    batch = _filled(plain, size)
    each_s = median_s(subject.seconds, lambda: decoded_on(subject.device, decoder, batch, spec.channels)) / size
    off = []
    told = decoded_on(subject.device, decoder, plain, spec.channels)
    for (data, header), one in zip(plain, told, strict=True):
        if one is not None and isinstance(one.pixels, Tensor):
            expected = decode_whole(data, header._replace(orientation=1), colour=spec.colour)
            off.append(difference(one.pixels.cpu().numpy(), expected))
    return {
        "by": "device",
        "batch": size,
        "per_s": 1 / each_s,
        "refused": sum(one is None for one in told) / len(told),
        "mean_levels": max((mean for mean, _ in off), default=None),
        "worst_levels": max((worst for _, worst in off), default=None),
    }


class _Decoding:
    """The part of a backend that is measured."""

    decoded_bytes, shares_decoding = DECODED_BYTES, True

    def __init__(self, subject: Subject, decoder: JpegDecoder) -> None:
        self._subject, self._decoder = subject, decoder
        self.decoded = 0

    def decode(self, pictures: Sequence[Headed]) -> list[Stored | None]:
        told = decoded_on(self._subject.device, self._decoder, pictures, self._subject.bundle.spec.input.channels)
        self.decoded += sum(one is not None for one in told)
        return told


def _both(subject: Subject, decoder: JpegDecoder, headed: Sequence[Headed], size: int, pool: Executor) -> Figures:
    spec = subject.bundle.spec.input
    backend = _Decoding(subject, decoder)

    def by_cpu(job: Job) -> Stored:
        return decode_for(job.picture, job.header, spec)

    mixed = MixedDecoding(backend, spec.channels, by_cpu, lambda job: None, pool, monotonic)
    jobs = [Job(data, header, math.inf) for data, header in _filled(headed, size)]
    per_s = size / median_s(subject.seconds, lambda: mixed.decode(jobs))
    backend.decoded = 0
    mixed.decode(jobs)
    return {"by": "both", "batch": size, "per_s": per_s, "on_device": backend.decoded / size}


def _filled(headed: Iterable[Headed], size: int) -> list[Headed]:
    return list(islice(cycle(headed), size))
