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
import os
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.preprocess import Stored
from model_zoo.spec import InputSpec
from server.backends.batches import sizes_up_to
from server.backends.errors import BackendError, BackendLoadError
from server.backends.torch_engine.buckets import Buckets
from server.backends.torch_engine.device import Launch, TorchDevice
from server.backends.torch_engine.network import PixelNetwork
from server.backends.torch_engine.resizing import Resizing
from server.backends.tuning import cache_folder

Answered = tuple[NDArray[np.float32], NDArray[np.float32] | None]  # logits, and maps where they were asked for

log = logging.getLogger("quickeye.backends")

Mode = Literal["compiled+graph", "compiled", "graph", "eager"]
MODES: tuple[Mode, ...] = get_args(Mode)
RECORDED: tuple[Mode, ...] = ("compiled+graph", "graph", "eager")

# Of torch.compile: kernels are tried out; recording them is done here, for all buckets alike.
_COMPILE_MODE = "max-autotune-no-cudagraphs"
AGREEMENT = 0.02  # of the largest logit: other kernels round otherwise, in half precision too
_SIZES_COMPILED = 64  # of one network: torch gives up at 8 by itself


class TorchRunner:
    """One mode, prepared. Used by one thread at a time; ``buckets`` shrink when memory runs out.

    ``resizing``, where it is set, brings pictures of other sizes to the network's.
    """

    def __init__(self, network: PixelNetwork, spec: InputSpec, limit: int, device: TorchDevice, mode: Mode) -> None:
        self.mode: Mode = mode
        self.resizing: Resizing | None = None
        self.buckets = Buckets(sizes_up_to(limit))
        self._network = network
        self.device = device
        self._forward: Callable[[Tensor], Tensor] = _compiled(network) if mode.startswith("compiled") else network
        shape = (limit, spec.height, spec.width, spec.channels)
        self._pixels_here = device.staging(shape, torch.uint8)
        with device.stream():
            self._pixels = torch.zeros(shape, dtype=torch.uint8, device=device.place)
        self._logits = self._first_logits()
        self._logits_here = device.staging(tuple(self._logits.shape), torch.float32)
        self._launches: dict[int, Launch] = {}
        for size in reversed(self.buckets.sizes):
            self._prepare(size)

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> Answered:
        """uint8 (N, H, W, C) → logits (N, classes), and maps (N, h, w) where asked; N at most the largest bucket.

        Raises:
            torch.OutOfMemoryError, RuntimeError: the device failed.
        """
        with torch.inference_mode(), self.device.stream():
            self._upload(batch)
            return self._answered(len(batch), explain)

    def run_stored(self, pictures: Sequence[Stored], explain: bool = False) -> Answered:
        """As ``run``, of decoded pictures: of as many, from the first on, as there is room for.

        Raises:
            torch.OutOfMemoryError, RuntimeError: the device failed.
            ValueError: the first is larger than all room; or there is none, without ``resizing``.
        """
        if self.resizing is None:
            raise ValueError("pictures are not resized here")
        count = self.resizing.pack(pictures[: self.buckets.largest])
        with torch.inference_mode(), self.device.stream():
            self.resizing.resize_into(self._pixels[: self.buckets.fit(count)])
            return self._answered(count, explain)

    def launch(self, size: int) -> None:
        """Run the bucket of this size on what lies in its pixels, on the current stream, without waiting."""
        self._launches[size]()

    def _answered(self, count: int, explain: bool) -> Answered:
        """Run what lies in the first ``count`` pixels. Maps are not recorded, as few ask for them."""
        self.launch(self.buckets.fit(count))
        self._logits_here[:count].copy_(self._logits[:count], non_blocking=True)
        maps = self._network.maps(self._pixels[:count]).cpu().numpy() if explain else None
        self.device.wait()
        return np.array(self._logits_here[:count].numpy()), maps

    def lower(self, below: int) -> bool:
        """Give up the buckets from ``below`` on and their memory; False where it is the last."""
        if not self.buckets.lower(below):
            return False
        self._launches = {size: launch for size, launch in self._launches.items() if size <= self.buckets.largest}
        self.device.release()
        return True

    def _first_logits(self) -> Tensor:
        """Memory for all logits; one picture tells how many there are."""
        with torch.inference_mode(), self.device.stream():
            one = self._network(self._pixels[:1])
            logits = torch.zeros((len(self._pixels), one.shape[1]), dtype=torch.float32, device=self.device.place)
        self.device.wait()
        return logits

    def _prepare(self, size: int) -> None:
        def work() -> None:
            self._logits[:size].copy_(self._forward(self._pixels[:size]))

        try:
            with torch.inference_mode():
                self._launches[size] = self.device.record(work) if self.mode.endswith("graph") else work
                self._refuse_other_answers(size)
        except torch.OutOfMemoryError:
            self._launches.pop(size, None)
            if not self.buckets.lower(size):
                raise
            self.device.release()
            log.warning("no memory for batches of %d pictures: at most %d run together", size, self.buckets.largest)

    def _refuse_other_answers(self, size: int) -> None:
        """Compilers and recordings go wrong for one size and not for another: each is held against plain calls.

        Raises:
            RuntimeError: the answers are not the same.
        """
        generator = torch.Generator().manual_seed(size)
        pixels = torch.randint(0, 256, tuple(self._pixels[:size].shape), generator=generator, dtype=torch.uint8)
        with self.device.stream():
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
    network: PixelNetwork, spec: InputSpec, limit: int, open_device: Callable[[], TorchDevice], modes: Sequence[Mode]
) -> TorchRunner:
    """The first of ``modes`` that can be prepared.

    Args:
        limit: the largest batch.
        open_device: a new share of it for each try: a recording that failed may leave its stream unusable.
    Raises:
        BackendLoadError: none can.
    """
    faults: list[str] = []
    for mode in modes:
        device = open_device()
        if mode.startswith("compiled"):
            log.info("torch on %s: compiling, minutes at the first start; torch.mode=graph does without", device.place)
        try:
            return TorchRunner(network, spec, limit, device, mode)
        except Exception as error:  # noqa: BLE001 - compilers, drivers and libraries fail in any way
            device.release()
            reason = " ".join(str(error).split())[:400] or type(error).__name__
            faults.append(f"{mode}: {reason}")
            log.warning("torch on %s: %s failed, the next way is taken: %s", device.place, mode, reason)
    raise BackendLoadError(f"torch can't run the network on {open_device().place}: {'; '.join(faults)}")


def _compiled(network: PixelNetwork) -> Callable[[Tensor], Tensor]:
    """What was tried out and compiled is kept for the next start."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torchinductor"))
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
