"""PyTorch: the bundle's architecture and float weights, for GPUs; on a CPU for tests and comparisons.

FP16 on a GPU, FP32 on a CPU, batch norms folded, channels-last. Batches run in buckets of fixed size, recorded as CUDA
graphs (``runner.py``): one launch a batch. Instances of one model share the weights; each has its own stream,
buffers and graphs, so that one's copies overlap with another's kernels.

Out of memory: the bucket is given up, its memory handed back, and the batch run once more, in parts.

Settings: ``torch.precision`` (fp16, fp32), ``torch.mode`` (compiled+graph, compiled, graph, eager; by default the first
that works), ``torch.device_id``.
"""

import threading
import weakref

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from server.backends import Backend, BackendOptions, output_names
from server.backends.batches import batch_limit, refuse_odd_batch
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.extras import as_number, own_extras
from server.backends.torch_engine.device import CpuDevice, CudaDevice, TorchDevice
from server.backends.torch_engine.network import DTYPES, PixelNetwork, Precision, pixel_network
from server.backends.torch_engine.runner import RECORDED, Mode, TorchRunner, failed, prepare, refuse_mode, run_in_parts

SETTINGS = ("precision", "mode", "device_id")

_networks: "weakref.WeakValueDictionary[tuple[str, str, str], PixelNetwork]" = weakref.WeakValueDictionary()
_opening = threading.Lock()


class TorchBackend:
    """One instance; used by one thread at a time. ``limit`` falls where the device's memory proves too small."""

    name = "torch"

    def __init__(self, runner: TorchRunner, bundle: Bundle, limit: int, device: str, precision: str) -> None:
        self.device = device
        self.precision = precision
        self.mode = runner.mode
        self._runner: TorchRunner | None = runner
        self._input = bundle.spec.input
        self._limit = limit
        self._explains = len(output_names(bundle.spec, explain=True)) > 1

    @property
    def largest_batch(self) -> int:
        """The most pictures that still run together."""
        return self._runner.buckets.largest if self._runner else 0

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """See ``Backend.run``."""
        if self._runner is None:
            raise BackendError("this instance is closed")
        refuse_odd_batch(batch, self._input, self._limit)
        try:
            try:
                return self._run(self._runner, batch, explain)
            except torch.OutOfMemoryError:
                size = self._runner.buckets.fit(min(len(batch), self._runner.buckets.largest))
                if not self._runner.lower(size):
                    raise
            return self._run(self._runner, batch, explain)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            raise failed(error, len(batch)) from error

    def close(self) -> None:
        """Drop graphs, buffers and, with the last instance, the weights; a second time does nothing."""
        self._runner = None

    def _run(self, runner: TorchRunner, batch: NDArray[np.uint8], explain: bool) -> tuple[NDArray[np.float32], ...]:
        logits = run_in_parts(runner, batch)
        if not (explain and self._explains):
            return (logits,)
        maps = [runner.maps(batch[start:end]) for start, end in runner.buckets.parts(len(batch))]
        return logits, np.concatenate(maps)


def load(bundle: Bundle, options: BackendOptions) -> Backend:
    """Open an instance on the device asked for; ``auto`` means the CPU here, ``selection`` looks for more.

    Raises:
        BackendUnavailableError: there is no CUDA device for torch.
        BackendLoadError: the bundle has no float network that torch can run, or a setting is wrong.
        BundleError: the weights on disk are not those that were written.
    """
    extras = own_extras(options, "torch", SETTINGS)
    on_gpu = options.device == "cuda"
    precision = _precision(extras.get("precision", "fp16" if on_gpu else "fp32"))
    modes: tuple[Mode, ...] = RECORDED if on_gpu else ("eager",)
    if "mode" in extras:
        modes = (refuse_mode(extras["mode"]),)
    device = _device(options, _whole_number("torch.device_id", extras.get("device_id", "0")))
    network = _network(bundle, precision, device.place)
    limit = batch_limit(bundle.spec.input, options.max_batch_size)
    runner = prepare(network, bundle.spec.input, limit, device, modes)
    return TorchBackend(runner, bundle, limit, options.device if on_gpu else "cpu", precision)


def _network(bundle: Bundle, precision: Precision, place: torch.device) -> PixelNetwork:
    """Shared by all instances of a bundle on one device."""
    key = (bundle.fingerprint, precision, str(place))
    with _opening:
        network = _networks.get(key)
        if network is None:
            network = _networks[key] = pixel_network(bundle, precision).to(place)
        return network


def _device(options: BackendOptions, number: int) -> TorchDevice:
    if options.device != "cuda":
        return CpuDevice(options.threads)
    if not torch.cuda.is_available():
        raise BackendUnavailableError(
            "torch finds no CUDA device: is the driver installed, and a torch that was built for CUDA?"
        )
    if number >= torch.cuda.device_count():
        raise BackendUnavailableError(f"there is no GPU {number}: torch finds {torch.cuda.device_count()}")
    return CudaDevice(number)


def _whole_number(key: str, text: str) -> int:
    number = as_number(key, text)
    if not number.is_integer():
        raise BackendLoadError(f"'{key}' must be a whole number, not '{text}'")
    return int(number)


def _precision(text: str) -> Precision:
    for precision in DTYPES:
        if text == precision:
            return precision
    raise BackendLoadError(f"'torch.precision' must be one of {', '.join(DTYPES)}, not '{text}'")
