"""What ``benchmarks.gpu`` measures, and its clocks."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from server.backends.torch_engine.device import TorchDevice
from server.backends.torch_engine.modes import Mode
from server.backends.torch_engine.network import PixelNetwork, pixel_network
from server.backends.torch_engine.runner import TorchRunner

COPIED_BYTES = 256 * 2**20
Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured, and where."""

    bundle: Bundle
    store: Path
    place: str
    new_device: Callable[[], TorchDevice]
    device: TorchDevice
    threads: int
    pictures: list[bytes]
    sizes: list[int]
    modes: list[Mode]
    seconds: float

    @property
    def on_gpu(self) -> bool:
        """Whether it is one."""
        return self.place == "cuda"

    def network(self, *, exact: bool = False) -> PixelNetwork:
        """On the device, in half precision on a GPU unless ``exact``."""
        precision = "fp16" if self.on_gpu and not exact else "fp32"
        return pixel_network(self.bundle, precision).to(self.device.place)

    def runner(self, mode: Mode) -> TorchRunner:
        """Prepared for the largest size, on a queue of its own: a recording that failed may have spoilt the last."""
        return TorchRunner(self.network(), self.bundle.spec.input, max(self.sizes), self.new_device(), mode)

    def inputs(self) -> NDArray[np.uint8]:
        """The pictures at the model's size: (N, H, W, C)."""
        spec = self.bundle.spec.input
        return np.stack([prepare(data, read_header(data, PictureLimits()), spec) for data in self.pictures])


def probe_copy(subject: Subject) -> float:
    """Bytes a second, read and written, within the device's memory."""
    count = COPIED_BYTES if subject.on_gpu else COPIED_BYTES // 8
    there = torch.ones(count, dtype=torch.uint8, device=subject.device.place)
    other = torch.empty_like(there)
    return 2 * count / repeated_s(subject, lambda: other.copy_(there))


def repeated_s(subject: Subject, act: Callable[[], object]) -> float:
    """One of many in a row, waited for at the end: the least of five."""

    def some(count: int) -> float:
        started_s = time.perf_counter()
        with subject.device.stream():
            for _ in range(count):
                act()
        subject.device.wait()
        return (time.perf_counter() - started_s) / count

    some(2)
    count = max(1, int(subject.seconds / 5 / max(some(1), 1e-6)))
    return min(some(count) for _ in range(5))


def median_s(seconds: float, act: Callable[[], object]) -> float:
    """Of single calls, for so long."""
    act()
    taken: list[float] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or len(taken) < 3:
        started_s = time.perf_counter()
        act()
        taken.append(time.perf_counter() - started_s)
    return statistics.median(taken)
