"""PyTorch: the bundle's architecture and float weights, for GPUs; on a CPU for tests and comparisons.

FP16 on a GPU, FP32 on a CPU, batch norms folded, channels-last. Batches run in buckets of fixed size, recorded as CUDA
graphs (``runner.py``): one launch a batch. Instances of one model share the weights; each has its own stream,
buffers and graphs, so that one's copies overlap with another's kernels.

Out of memory: the bucket is given up, its memory handed back, and the batch run once more, in parts.

Pictures of any sizes are resized on the GPU, where Triton is installed (``resizing.py``, ``server/backends/ragged``),
and JPEGs are decoded there, where nvImageCodec is (``jpegs.py``).

Settings: ``torch.precision`` (fp16, fp32), ``torch.mode`` (compiled+graph, compiled, graph, eager; by default the first
that works), ``torch.preprocess`` (exact, fast, cpu), ``torch.decode`` (auto, gpu, cpu), ``torch.device_id``.
"""

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.header import Header
from model_zoo.preprocess import Stored
from model_zoo.spec import InputSpec
from server.backends import Backend, BackendOptions, Ranked, output_names
from server.backends.batches import batch_limit, refuse_odd_batch
from server.backends.buckets import in_parts
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.extras import as_decode, as_number, own_extras
from server.backends.ragged import supports
from server.backends.torch_engine.device import CpuDevice, CudaDevice, TorchDevice, memory_ran_out
from server.backends.torch_engine.jpegs import JpegDecoder, decoded_on
from server.backends.torch_engine.modes import RECORDED, Mode, refuse_mode
from server.backends.torch_engine.network import DTYPES, PixelNetwork, Precision, pixel_network
from server.backends.torch_engine.proven_decoder import proven_decoder
from server.backends.torch_engine.resizing import Resizing
from server.backends.torch_engine.runner import Pictures, TorchRunner, failed, one_line, prepare

log = logging.getLogger("quickeye.backends")

Part = TypeVar("Part", bound=tuple[Any, ...])  # what a part of a batch gave; its first entry has a row for each picture

SETTINGS = ("precision", "mode", "preprocess", "decode", "device_id")
PREPROCESS = ("exact", "fast", "cpu")

# For pictures of one batch on their way, in each instance: a 640×480 photo takes 0.9 MiB, one of 12 MP, decoded
# smaller, 2.
PACKED_BYTES_EACH, PACKED_LEAST_BYTES, PACKED_MOST_BYTES = 2**20, 64 * 2**20, 256 * 2**20

_networks: "weakref.WeakValueDictionary[tuple[str, str, str], PixelNetwork]" = weakref.WeakValueDictionary()
_opening = threading.Lock()


class TorchBackend:
    """One instance; used by one thread at a time. ``largest_batch`` falls where the device's memory is too small.

    ``batch_sizes`` are those that are prepared, rising; ``ranked_classes`` are how many ``run_ranked`` gives.
    """

    name = "torch"

    def __init__(self, runner: TorchRunner, bundle: Bundle, limit: int, device: str, precision: str) -> None:
        self.device = device
        self.precision = precision
        self.mode = runner.mode
        self.largest_picture_bytes = runner.resizing.largest_picture_bytes if runner.resizing else 0
        self.batch_sizes = runner.buckets.sizes
        self.ranked_classes = runner.ranked_classes
        self.device_seconds = runner.seconds
        self.decoded_bytes = 0
        self.shares_decoding = True
        self._decoder: JpegDecoder | None = None
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
        refuse_odd_batch(batch, self._input, self._limit)

        return self._outputs(batch, explain)

    def run_stored(self, pictures: Sequence[Stored], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """See ``PreparingBackend.run_stored``."""
        self._refuse_other_counts(pictures)
        return self._outputs(pictures, explain)

    def run_ranked(self, pictures: Pictures) -> Ranked:
        """See ``RankingBackend.run_ranked``."""
        if isinstance(pictures, np.ndarray):
            refuse_odd_batch(pictures, self._input, self._limit)
        else:
            self._refuse_other_counts(pictures)
        parts = self._in_parts(lambda runner, some: runner.rank(some), pictures)
        return Ranked(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))

    def decode(self, pictures: Sequence[tuple[bytes | memoryview, Header]]) -> list[Stored | None]:
        """See ``DecodingBackend.decode``."""
        if self._runner is None or self._decoder is None:
            raise BackendError("this instance decodes nothing")
        try:
            return decoded_on(self._runner.device, self._decoder, pictures, self._input.channels)
        except Exception as error:  # drivers and libraries fail in any way
            raise BackendError(f"torch could not decode {len(pictures)} JPEGs: {one_line(error)}") from error

    def let_decode(self, decoder: JpegDecoder, *, shares: bool) -> None:
        """Take JPEGs from now on, as many as the memory for resizing holds."""
        self._decoder, self.shares_decoding, self.decoded_bytes = decoder, shares, self.largest_picture_bytes

    def close(self) -> None:
        """Drop graphs, buffers and, with the last instance, the weights; a second time does nothing."""
        self._runner = self._decoder = None

    def _refuse_other_counts(self, pictures: Sequence[Stored]) -> None:
        if not 1 <= len(pictures) <= self._limit:
            raise BackendError(f"a batch of {len(pictures)} pictures: this instance takes 1 to {self._limit}")

    def _outputs(self, pictures: Pictures, explain: bool) -> tuple[NDArray[np.float32], ...]:
        explain = explain and self._explains
        parts = self._in_parts(lambda runner, some: runner.run(some, explain), pictures)
        logits = np.concatenate([logits for logits, _ in parts])
        maps = [maps for _, maps in parts if maps is not None]
        return (logits, np.concatenate(maps)) if maps else (logits,)

    def _in_parts(self, run: Callable[[TorchRunner, Pictures], Part], pictures: Pictures) -> list[Part]:
        """Run them all; where memory runs out, with smaller buckets once more."""
        runner, images = self._runner, len(pictures)
        if runner is None:
            raise BackendError("this instance is closed")
        try:
            try:
                return _all(runner, run, pictures)
            except RuntimeError as error:
                size = runner.buckets.fit(min(images, runner.buckets.largest))
                if not (memory_ran_out(error) and runner.lower(size)):
                    raise
            return _all(runner, run, pictures)
        except (RuntimeError, ValueError) as error:  # torch.OutOfMemoryError is a RuntimeError
            raise failed(error, images) from error


def _all(runner: TorchRunner, run: Callable[[TorchRunner, Pictures], Part], pictures: Pictures) -> list[Part]:
    largest = runner.buckets.largest
    return in_parts(lambda start: run(runner, pictures[start : start + largest]), len(pictures))


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
    number = _whole_number("torch.device_id", extras.get("device_id", "0"))
    device = device_for(options, number)
    preprocess = _preprocess(extras, device)
    decode = as_decode("torch.decode", extras.get("decode", "auto"), on_gpu=on_gpu)
    network = _network(bundle, precision, device.place)
    limit = batch_limit(bundle.spec.input, options.max_batch_size)
    runner = prepare(network, bundle.spec.input, limit, lambda: device_for(options, number), modes)
    _let_resize(runner, bundle.spec.input, limit, preprocess)
    backend = TorchBackend(runner, bundle, limit, options.device if on_gpu else "cpu", precision)
    decoder = proven_decoder("torch", runner.device, bundle.spec.input, decode, resizes=runner.resizing is not None)
    if decoder is not None:
        backend.let_decode(decoder, shares=decode == "auto")
    return backend


def _let_resize(runner: TorchRunner, spec: InputSpec, limit: int, where: str) -> None:
    """Resize on the device, if that is to be and gives the right pixels; otherwise the CPU does it."""
    if where == "cpu" or not supports(spec):
        return
    device = runner.device
    capacity = min(PACKED_MOST_BYTES, max(PACKED_LEAST_BYTES, limit * PACKED_BYTES_EACH))
    try:
        resizing = Resizing(spec, limit, capacity, device, exact=where == "exact")
        resizing.refuse_other_pixels()
    except Exception as error:  # noqa: BLE001 - compilers, drivers and libraries fail in any way
        device.release()
        log.warning("torch on %s: pictures are resized by the CPU: %s", device.place, one_line(error))
        return
    try:
        runner.let_resize(resizing)
    except RuntimeError as error:
        raise BackendLoadError(f"torch on {device.place} failed once it resized: {one_line(error)}") from error


def _preprocess(extras: dict[str, str], device: TorchDevice) -> str:
    where = extras.get("preprocess", "exact" if device.place.type == "cuda" and find_spec("triton") else "cpu")
    if where not in PREPROCESS:
        raise BackendLoadError(f"'torch.preprocess' must be one of {', '.join(PREPROCESS)}, not '{where}'")
    return where


def _network(bundle: Bundle, precision: Precision, place: torch.device) -> PixelNetwork:
    """Shared by all instances of a bundle on one device."""
    key = (bundle.fingerprint, precision, str(place))
    with _opening:
        network = _networks.get(key)
        if network is None:
            network = _networks[key] = pixel_network(bundle, precision).to(place)
        return network


def device_for(options: BackendOptions, number: int = 0) -> TorchDevice:
    """The CPU, or a new stream of a GPU.

    Raises:
        BackendUnavailableError: there is no such GPU.
    """
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
