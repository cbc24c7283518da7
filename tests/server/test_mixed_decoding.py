"""A batch decoded by a device and the CPU: who gets what, and what happens where the device fails."""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from model_zoo.errors import PictureError
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.preprocess import Stored, decode_for
from server.backends.errors import BackendError
from server.errors import AbandonedError
from server.job import Job
from server.mixed_decoding import FAILURES_IN_A_ROW, LARGEST_PX, Made, MixedDecoding
from tests.pictures import encode, picture
from tests.server.fake_bundles import MeanColour
from tests.server.fake_jpeg_decoder import FakeJpegDecoder

SPEC = MeanColour(height=32, width=24).input
JPEG, PNG = encode(picture(), "jpeg"), encode(picture(), "png")
PX = 64 * 48


class Device:
    """A backend that decodes, on a clock of its own: each batch takes ``seconds``."""

    name, device, precision = "device", "cuda", "fp16"
    largest_picture_bytes = 10**9

    def __init__(self, clock: "Clock", *, shares: bool = False, decoded_bytes: int = 10**9) -> None:
        self.decoder = FakeJpegDecoder()
        self.shares_decoding, self.decoded_bytes = shares, decoded_bytes
        self.seconds: Callable[[int], float] = lambda pictures: 0.25
        self._clock = clock

    def decode(self, pictures: Sequence[tuple[bytes | memoryview, Header]]) -> list[Stored | None]:
        self._clock.now_s += self.seconds(len(pictures))
        try:
            told = self.decoder.decode([data for data, _ in pictures])
        except RuntimeError as error:
            raise BackendError(str(error)) from error
        return [
            None if one is None else Stored(one, header.height, header.width, 8, header.orientation)
            for one, (_, header) in zip(told, pictures, strict=True)
        ]

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        raise NotImplementedError

    def run_stored(self, pictures: Sequence[Stored], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing."""


class Clock:
    """Stands still unless somebody moves it."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Cpu:
    """Decodes one, and may move the clock; ``threads`` are those it was called in."""

    def __init__(self, clock: Clock, seconds: float = 0.0) -> None:
        self.calls = 0
        self.threads: set[int] = set()
        self._clock, self._seconds = clock, seconds

    def __call__(self, job: Job) -> Made:
        self.calls += 1
        self.threads.add(threading.get_ident())
        self._clock.now_s += self._seconds
        assert isinstance(job.picture, bytes) and job.header is not None
        try:
            return decode_for(job.picture, job.header, SPEC)
        except PictureError as error:
            return error


def refused(job: Job) -> AbandonedError | None:
    return AbandonedError("nobody waits") if job.finished else None


def job_of(data: bytes) -> Job:
    return Job(data, read_header(data, PictureLimits()), math.inf)


def mixed(device: Device, cpu: Cpu, clock: Clock, decoders: Executor | None = None) -> MixedDecoding:
    return MixedDecoding(device, 3, cpu, refused, decoders, clock)


def places(made: Sequence[Made]) -> list[str]:
    return [
        type(one).__name__ if isinstance(one, Exception) else "cpu" if isinstance(one.pixels, np.ndarray) else "gpu"  # type: ignore[union-attr]
        for one in made
    ]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_plain_jpegs_are_the_device_s_and_all_else_the_cpu_s(clock: Clock) -> None:
    device, cpu = Device(clock), Cpu(clock)
    progressive = encode(picture(), "jpeg", progressive=True)
    cmyk = encode(picture().convert("CMYK"), "jpeg")
    grey = encode(picture().convert("L"), "jpeg")
    batch = [job_of(data) for data in (PNG, JPEG, progressive, grey, cmyk, JPEG + b"\x00", JPEG)]
    made = mixed(device, cpu, clock).decode(batch)
    assert places(made) == ["cpu", "gpu", "cpu", "gpu", "cpu", "cpu", "gpu"]
    assert device.decoder.batches == [3]


def test_every_picture_is_its_own_whoever_decodes_it(clock: Clock) -> None:
    device, cpu = Device(clock), Cpu(clock)
    files = [encode(Image.new("RGB", (40, 30), (8 * n, 255 - 8 * n, n)), "png" if n % 3 else "jpeg") for n in range(20)]
    with ThreadPoolExecutor(3) as decoders:
        made = mixed(device, cpu, clock, decoders).decode([job_of(data) for data in files])
    assert places(made) == ["cpu" if n % 3 else "gpu" for n in range(20)]
    for number, one in enumerate(made):
        assert isinstance(one, Stored)
        red, green, blue = np.asarray(one.pixels).mean((0, 1)).tolist()
        assert (red, green, blue) == pytest.approx((8 * number, 255 - 8 * number, number), abs=3)


def test_a_damaged_file_fails_alone_with_the_cpu_s_error(clock: Clock) -> None:
    """Cut short, but with an end: only decoding finds out."""
    damaged = JPEG[:-100] + b"\xff\xd9"
    made = mixed(Device(clock), Cpu(clock), clock).decode([job_of(data) for data in (JPEG, damaged, JPEG)])
    assert places(made) == ["gpu", "UndecodableImageError", "gpu"]


def test_what_the_device_refuses_is_decoded_by_the_cpu(clock: Clock) -> None:
    device, cpu = Device(clock), Cpu(clock)
    device.decoder.refuses = lambda data: True
    assert places(mixed(device, cpu, clock).decode([job_of(JPEG), job_of(JPEG)])) == ["cpu", "cpu"]


def test_a_batch_that_the_device_fails_on_is_the_cpu_s_and_told_once_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    device, cpu = Device(clock), Cpu(clock)
    both = mixed(device, cpu, clock)
    for number in range(6):
        device.decoder.fails = RuntimeError("no memory") if number % 2 == 0 else None
        assert places(both.decode([job_of(JPEG), job_of(PNG)])) == ["cpu" if number % 2 == 0 else "gpu", "cpu"]
    assert [record.message for record in caplog.records] == ["a batch's JPEGs are decoded by the CPU: no memory"]
    clock.now_s += 100
    device.decoder.fails = RuntimeError("no memory")
    both.decode([job_of(JPEG)])
    assert len(caplog.records) == 2


def test_after_some_failures_in_a_row_it_is_asked_no_more(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    device, cpu = Device(clock), Cpu(clock)
    device.decoder.fails = RuntimeError("the driver is gone")
    both = mixed(device, cpu, clock)
    for _ in range(FAILURES_IN_A_ROW + 3):
        assert places(both.decode([job_of(JPEG)])) == ["cpu"]
    assert len(device.decoder.batches) == FAILURES_IN_A_ROW
    last = caplog.records[-1]
    assert last.levelno == logging.WARNING
    assert "decoded by the CPU from now on: 3 failures in a row: the driver is gone" in last.message


def test_no_more_than_its_memory_holds_is_the_device_s(clock: Clock) -> None:
    device, cpu = Device(clock, decoded_bytes=3 * PX * 2 + 100), Cpu(clock)
    small = encode(picture(5, 5), "jpeg")
    made = mixed(device, cpu, clock).decode([job_of(data) for data in (JPEG, JPEG, JPEG, small)])
    assert places(made) == ["gpu", "gpu", "cpu", "gpu"]


def test_large_photos_stay_with_the_cpu(clock: Clock) -> None:
    wide = LARGEST_PX // 100
    files = [encode(Image.new("RGB", (width, 100)), "jpeg", quality=20) for width in (wide, wide + 1)]
    made = mixed(Device(clock), Cpu(clock), clock).decode([job_of(data) for data in files])
    assert places(made) == ["gpu", "cpu"]


def test_what_nobody_waits_for_costs_neither_anything(clock: Clock) -> None:
    device, cpu = Device(clock), Cpu(clock)
    batch = [job_of(JPEG), job_of(JPEG)]
    batch[0].finished = True
    left: list[Job] = []

    def leaves(job: Job) -> AbandonedError | None:
        left.append(job)
        return AbandonedError("nobody waits") if job is batch[1] else None

    made = MixedDecoding(device, 3, lambda job: AbandonedError("gone"), leaves, None, clock).decode(batch)
    assert places(made) == ["AbandonedError", "AbandonedError"]
    assert left == [batch[1]]
    assert device.decoder.batches == []
    assert cpu.calls == 0


def test_each_picture_s_time_is_its_batch_s(clock: Clock) -> None:
    device, cpu = Device(clock), Cpu(clock)
    batch = [job_of(JPEG), job_of(PNG), job_of(JPEG)]
    mixed(device, cpu, clock).decode(batch)
    assert [job.times.decode for job in batch] == [0.25, 0.0, 0.25]


def test_shares_are_learned_until_both_end_together(clock: Clock) -> None:
    """The device takes 1 ms and a tenth of one a picture; the CPU 1 ms a picture."""
    device, cpu = Device(clock, shares=True), Cpu(clock, 0.001)
    device.seconds = lambda pictures: 0.001 + 0.0001 * pictures
    both = mixed(device, cpu, clock)
    for size in (2, 8, 32) * 10:
        both.decode([job_of(JPEG) for _ in range(size)])
    device.decoder.batches.clear()
    both.decode([job_of(JPEG) for _ in range(32)])
    (on_device,) = device.decoder.batches
    assert 27 <= on_device <= 30  # 3.8 and 4 ms
    assert places(both.decode([job_of(JPEG)])) == ["cpu"]


def test_a_slow_device_is_left_alone_and_tried_again(clock: Clock) -> None:
    device, cpu = Device(clock, shares=True), Cpu(clock, 0.001)
    device.seconds = lambda pictures: 10.0
    both = mixed(device, cpu, clock)
    for _ in range(40):
        both.decode([job_of(JPEG) for _ in range(4)])
    assert device.decoder.batches == [2]
    for _ in range(40):
        both.decode([job_of(JPEG) for _ in range(4)])
    assert device.decoder.batches == [2, 1]


def test_the_cpu_s_threads_work_while_the_device_does(clock: Clock) -> None:
    device, cpu = Device(clock), Cpu(clock)
    begun = threading.Event()
    plain = device.decoder.decode

    def by_cpu(job: Job) -> Made:
        begun.set()
        return cpu(job)

    def when_the_cpu_has_begun(pictures: Sequence[bytes | memoryview]) -> list[torch.Tensor | None]:
        assert begun.wait(60)
        return plain(pictures)

    device.decoder.decode = when_the_cpu_has_begun  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as decoders:
        made = MixedDecoding(device, 3, by_cpu, refused, decoders, clock).decode([job_of(JPEG), job_of(PNG)])
    assert places(made) == ["gpu", "cpu"]
    assert cpu.threads and threading.get_ident() not in cpu.threads
