"""Batches through a torch network in buckets: fixed sizes, fixed memory, and where the device can, recorded graphs.

Three ways, best first; one that fails for any reason is passed over with a word in the log:

``compiled+graph``  torch.compile's kernels, each bucket recorded as one graph
``graph``           torch's own kernels, recorded
``eager``           torch's own kernels, called one by one

The largest bucket is prepared first, so that the smaller ones find their memory in its pool. All buckets share one
buffer for pixels and one for logits: a bucket is the beginning of both. Rows that no picture fills keep what was there;
no row depends on another.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.spec import InputSpec
from server.backends.errors import BackendError, BackendLoadError
from server.backends.torch_engine.buckets import Buckets, bucket_sizes
from server.backends.torch_engine.device import Launch, TorchDevice
from server.backends.torch_engine.network import PixelNetwork

log = logging.getLogger("quickeye.backends")

Mode = Literal["compiled+graph", "compiled", "graph", "eager"]
MODES: tuple[Mode, ...] = get_args(Mode)
RECORDED: tuple[Mode, ...] = ("compiled+graph", "graph", "eager")

# Of torch.compile: kernels are tried out; recording them is done here, for all buckets alike.
_COMPILE_MODE = "max-autotune-no-cudagraphs"
AGREEMENT = 0.02  # of the largest logit: other kernels round otherwise, in half precision too
_SIZES_COMPILED = 64  # of one network: torch gives up at 8 by itself


class TorchRunner:
    """One mode, prepared. Used by one thread at a time; ``buckets`` shrink when memory runs out."""

    def __init__(self, network: PixelNetwork, spec: InputSpec, limit: int, device: TorchDevice, mode: Mode) -> None:
        self.mode: Mode = mode
        self.buckets = Buckets(bucket_sizes(limit))
        self._network = network
        self._device = device
        self._forward: Callable[[Tensor], Tensor] = _compiled(network) if mode.startswith("compiled") else network
        shape = (limit, spec.height, spec.width, spec.channels)
        self._pixels_here = device.staging(shape, torch.uint8)
        self._pixels_here.zero_()
        self._pixels = torch.zeros(shape, dtype=torch.uint8, device=device.place)
        self._logits = self._first_logits()
        self._logits_here = device.staging(tuple(self._logits.shape), torch.float32)
        self._launches: dict[int, Launch] = {}
        for size in reversed(bucket_sizes(limit)):
            self._prepare(size)

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W, C) → logits (N, classes), N at most the largest bucket.

        Raises:
            torch.OutOfMemoryError, RuntimeError: the device failed.
        """
        count = len(batch)
        launch = self._launches[self.buckets.fit(count)]
        with torch.inference_mode(), self._device.stream():
            self._upload(batch)
            launch()
            self._logits_here[:count].copy_(self._logits[:count], non_blocking=True)
        self._device.wait()
        return np.array(self._logits_here[:count].numpy())

    def maps(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The class-activation maps of as many pictures, (N, h, w); not recorded, as few ask for them."""
        with torch.inference_mode(), self._device.stream():
            self._upload(batch)
            maps: NDArray[np.float32] = self._network.maps(self._pixels[: len(batch)]).cpu().numpy()
        return maps

    def lower(self, below: int) -> bool:
        """Give up the buckets from ``below`` on and their memory; False where it is the last."""
        if not self.buckets.lower(below):
            return False
        self._launches = {size: launch for size, launch in self._launches.items() if size <= self.buckets.largest}
        self._device.release()
        return True

    def _first_logits(self) -> Tensor:
        """Memory for all logits; one picture tells how many there are."""
        with torch.inference_mode(), self._device.stream():
            one = self._network(self._pixels[:1])
            logits = torch.zeros((len(self._pixels), one.shape[1]), dtype=torch.float32, device=self._device.place)
        self._device.wait()
        return logits

    def _prepare(self, size: int) -> None:
        def work() -> None:
            self._logits[:size].copy_(self._forward(self._pixels[:size]))

        try:
            with torch.inference_mode():
                self._launches[size] = self._device.record(work) if self.mode.endswith("graph") else work
                self._refuse_other_answers(size)
        except torch.OutOfMemoryError:
            self._launches.pop(size, None)
            if not self.buckets.lower(size):
                raise
            self._device.release()
            log.warning("no memory for batches of %d pictures: at most %d run together", size, self.buckets.largest)

    def _refuse_other_answers(self, size: int) -> None:
        """Compilers and recordings go wrong for one size and not for another: each is held against plain calls.

        Raises:
            RuntimeError: the answers are not the same.
        """
        generator = torch.Generator().manual_seed(size)
        pixels = torch.randint(0, 256, tuple(self._pixels[:size].shape), generator=generator, dtype=torch.uint8)
        with self._device.stream():
            self._pixels[:size].copy_(pixels)
            self._logits[:size].fill_(torch.nan)
            self._launches[size]()
            told = self._logits[:size].clone()
            expected = self._network(self._pixels[:size])
            error = float((told - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
        if not error <= AGREEMENT:
            raise RuntimeError(f"batches of {size}: answers differ from plain ones by {error:.2%} of the largest")

    def _upload(self, batch: NDArray[np.uint8]) -> None:
        count = len(batch)
        self._pixels_here[:count].numpy()[:] = batch
        self._pixels[:count].copy_(self._pixels_here[:count], non_blocking=True)


def prepare(
    network: PixelNetwork, spec: InputSpec, limit: int, device: TorchDevice, modes: Sequence[Mode]
) -> TorchRunner:
    """The first of ``modes`` that can be prepared.

    Args:
        limit: the largest batch.
    Raises:
        BackendLoadError: none can.
    """
    faults: list[str] = []
    for mode in modes:
        try:
            return TorchRunner(network, spec, limit, device, mode)
        except Exception as error:  # noqa: BLE001 - compilers, drivers and libraries fail in any way
            device.release()
            reason = " ".join(str(error).split())[:400] or type(error).__name__
            faults.append(f"{mode}: {reason}")
            log.warning("torch on %s: %s failed, the next way is taken: %s", device.place, mode, reason)
    raise BackendLoadError(f"torch can't run the network on {device.place}: {'; '.join(faults)}")


def run_in_parts(runner: TorchRunner, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As ``TorchRunner.run``, for any number of pictures.

    Raises:
        torch.OutOfMemoryError, RuntimeError: the device failed.
    """
    parts = [runner.run(batch[start:end]) for start, end in runner.buckets.parts(len(batch))]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _compiled(network: PixelNetwork) -> Callable[[Tensor], Tensor]:
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _SIZES_COMPILED)
    compiled: Callable[[Tensor], Tensor] = torch.compile(network, mode=_COMPILE_MODE, dynamic=False)
    return compiled


def refuse_mode(text: str) -> Mode:
    """A mode by its name.

    Raises:
        BackendLoadError: there is none of it.
    """
    for mode in MODES:
        if text == mode:
            return mode
    raise BackendLoadError(f"'torch.mode' must be one of {', '.join(MODES)}, not '{text}'")


def failed(error: Exception, images: int) -> BackendError:
    """What a caller is told of a run that failed."""
    return BackendError(f"torch failed on a batch of {images}: {' '.join(str(error).split())[:400]}")
