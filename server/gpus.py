"""The machine's NVIDIA GPUs, as their driver tells of them (NVML): asked when somebody scrapes.

A driver may take its time to answer, so it is asked in a thread (``ask``), and told of afterwards (``gauges``).

Figures are of the whole GPU, whoever uses it: a neighbour who fills its memory is what one wants to see.
Without a GPU, a driver or the package ``nvidia-ml-py`` (extra ``gpu``) there are none, and nothing is said.
A figure that a GPU does not have (some tell no power, most have no engine for JPEGs) or that the package is too old
for is left out.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

from server.metrics import GaugeSample

log = logging.getLogger("quickeye.gpus")

# metric -> how a GPU is asked, given the library and the GPU's handle
READINGS: dict[str, Callable[[ModuleType, object], float]] = {
    "quickeye_gpu_busy_ratio": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "quickeye_gpu_memory_used_bytes": lambda nvml, gpu: float(nvml.nvmlDeviceGetMemoryInfo(gpu).used),
    "quickeye_gpu_memory_total_bytes": lambda nvml, gpu: float(nvml.nvmlDeviceGetMemoryInfo(gpu).total),
    "quickeye_gpu_power_watts": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "quickeye_gpu_temperature_celsius": lambda nvml, gpu: float(
        nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
    ),
    # A share of the last moment, and how long that was.
    "quickeye_gpu_jpeg_decoder_busy_ratio": lambda nvml, gpu: nvml.nvmlDeviceGetJpgUtilization(gpu)[0] / 100,
    "quickeye_gpu_video_decoder_busy_ratio": lambda nvml, gpu: nvml.nvmlDeviceGetDecoderUtilization(gpu)[0] / 100,
}


class Gpus:
    """All GPUs of the machine; opened once, at the start of the server."""

    def __init__(self, library: str = "pynvml") -> None:
        self._gpus: list[object] = []
        self._told: list[GaugeSample] = []
        try:
            self._nvml = import_module(library)
        except ImportError:
            return
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._gpus = [self._nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        except self._nvml.NVMLError as error:
            log.debug("no figures of GPUs: %s", error)

    async def ask(self) -> None:
        """Have the driver's figures of this moment, without the event loop waiting for them."""
        if self._gpus:
            self._told = await asyncio.to_thread(lambda: list(self._read()))

    def gauges(self) -> list[GaugeSample]:
        """What ``/metrics`` reads at each scrape: what the driver told last."""
        return self._told

    def _read(self) -> Iterator[GaugeSample]:
        """GPUs are numbered as the driver does."""
        for number, gpu in enumerate(self._gpus):
            for metric, read in READINGS.items():
                try:
                    value = read(self._nvml, gpu)
                except (self._nvml.NVMLError, AttributeError):
                    continue
                yield metric, (str(number),), value
