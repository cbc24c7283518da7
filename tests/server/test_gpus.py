"""Figures of GPUs, from a library that stands in for NVIDIA's: its names, units and errors are NVML's."""

import asyncio
import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest

from server.gpus import READINGS, Gpus
from server.metrics import GAUGES, GaugeSample


class NVMLError(Exception):
    """As the real one, the base of all."""


def driver(**changes: object) -> ModuleType:
    """A machine with two GPUs."""
    module = ModuleType("stand_in_for_nvml")
    calls: dict[str, object] = {
        "NVMLError": NVMLError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: f"gpu {number}",
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=75, memory=10),
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=3 * 2**30, total=8 * 2**30, free=5 * 2**30),
        "nvmlDeviceGetPowerUsage": lambda gpu: 123_400,
        "nvmlDeviceGetTemperature": lambda gpu, sensor: 61 + sensor,
        "nvmlDeviceGetJpgUtilization": lambda gpu: [40, 100_000],
        "nvmlDeviceGetDecoderUtilization": lambda gpu: [5, 100_000],
    }
    vars(module).update(calls | changes)
    return module


@pytest.fixture
def gpus_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], Gpus]:
    def make(module: ModuleType) -> Gpus:
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Gpus(module.__name__)

    return make


def told_by(gpus: Gpus) -> list[GaugeSample]:
    asyncio.run(gpus.ask())
    return gpus.gauges()


def raising(*_: object) -> None:
    raise NVMLError("not supported")


def test_every_gpu_tells_its_figures_in_base_units(gpus_of: Callable[[ModuleType], Gpus]) -> None:
    told = {(metric, labels): value for metric, labels, value in told_by(gpus_of(driver()))}
    for gpu in ("0", "1"):
        assert told["quickeye_gpu_busy_ratio", (gpu,)] == 0.75
        assert told["quickeye_gpu_memory_used_bytes", (gpu,)] == 3 * 2**30
        assert told["quickeye_gpu_memory_total_bytes", (gpu,)] == 8 * 2**30
        assert told["quickeye_gpu_power_watts", (gpu,)] == pytest.approx(123.4)
        assert told["quickeye_gpu_temperature_celsius", (gpu,)] == 61
        assert told["quickeye_gpu_jpeg_decoder_busy_ratio", (gpu,)] == 0.4
        assert told["quickeye_gpu_video_decoder_busy_ratio", (gpu,)] == 0.05
    assert len(told) == 2 * len(READINGS)


def test_what_it_tells_is_declared() -> None:
    assert {name for name in GAUGES if name.startswith("quickeye_gpu_")} == set(READINGS)
    assert all(GAUGES[name][1] == ("gpu",) for name in READINGS)


def test_a_figure_that_a_gpu_does_not_have_is_left_out(gpus_of: Callable[[ModuleType], Gpus]) -> None:
    told = [metric for metric, _, _ in told_by(gpus_of(driver(nvmlDeviceGetPowerUsage=raising)))]
    assert sorted(told) == sorted(2 * [name for name in READINGS if name != "quickeye_gpu_power_watts"])


def test_a_package_that_is_too_old_for_a_figure_gives_the_others(gpus_of: Callable[[ModuleType], Gpus]) -> None:
    module = driver()
    del module.nvmlDeviceGetJpgUtilization
    told = [metric for metric, _, _ in told_by(gpus_of(module))]
    assert sorted(told) == sorted(2 * [name for name in READINGS if name != "quickeye_gpu_jpeg_decoder_busy_ratio"])


def test_the_driver_is_asked_off_the_event_loop(gpus_of: Callable[[ModuleType], Gpus]) -> None:
    asked_by: set[int] = set()

    def power(_: object) -> int:
        asked_by.add(threading.get_ident())
        return 1000

    gpus = gpus_of(driver(nvmlDeviceGetPowerUsage=power))
    assert (gpus.gauges(), asked_by) == ([], set()), "nobody asked so far"
    assert len(told_by(gpus)) == 2 * len(READINGS)
    assert asked_by
    assert threading.get_ident() not in asked_by


def test_without_a_driver_there_is_nothing_to_tell(gpus_of: Callable[[ModuleType], Gpus]) -> None:
    assert told_by(gpus_of(driver(nvmlInit=raising))) == []


def test_without_the_library_there_is_nothing_to_tell() -> None:
    assert told_by(Gpus("no_such_library_anywhere")) == []
