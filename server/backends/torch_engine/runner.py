"""Batches through a torch network in buckets: fixed sizes, fixed memory, and where the device can, recorded graphs.

The largest bucket is prepared first, so that the smaller ones find their memory in its pool. All buckets share one
buffer for pixels, one for logits and one for the best classes: a bucket is the beginning of each. Rows that no picture
fills keep what was there; no row depends on another.

Where pictures are resized on the device, that is recorded in front of the network, in graphs of their own; where this
fails, it is a launch before the other. ``seconds`` adds up where the device's time went.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.preprocess import Stored
from model_zoo.spec import InputSpec
from server.backends import Ranked
from server.backends.batches import sizes_up_to
from server.backends.buckets import Buckets
from server.backends.errors import BackendError, BackendLoadError
from server.backends.torch_engine.calls import CALLS
from server.backends.torch_engine.device import Launch, TorchDevice, memory_ran_out
from server.backends.torch_engine.memory import BatchMemory
from server.backends.torch_engine.modes import Mode, compiled
from server.backends.torch_engine.network import PixelNetwork
from server.backends.torch_engine.resizing import Resizing, proof_pictures
from server.backends.torch_engine.stages import STAGES, WITHOUT_RESIZING, Stage, StageTimes

Pictures = NDArray[np.uint8] | Sequence[Stored]  # (N, H, W, C) at the network's size, or of any sizes
Answered = tuple[NDArray[np.float32], NDArray[np.float32] | None]  # logits, and maps where they were asked for

log = logging.getLogger("quickeye.backends")

AGREEMENT = 0.02  # of the largest logit: other kernels round otherwise, in half precision too


class TorchRunner:
    """One mode, prepared. Used by one thread at a time; ``buckets`` shrink when memory runs out.

    ``resizing``, where it is, brings pictures of other sizes to the network's. ``seconds`` are the device's, by stage,
    of all batches so far; ``ranked_classes`` are how many ``rank`` gives.
    """

    def __init__(self, network: PixelNetwork, spec: InputSpec, limit: int, device: TorchDevice, mode: Mode) -> None:
        self.mode: Mode = mode
        self.device = device
        self.resizing: Resizing | None = None
        self.buckets = Buckets(sizes_up_to(limit))
        self._times = StageTimes(device)
        self.seconds = self._times.seconds
        self._network = network
        self._forward: Callable[[Tensor], Tensor] = compiled(network) if mode.startswith("compiled") else network
        self._memory = BatchMemory(network, spec, limit, device)
        self._launches: dict[int, Launch] = {}
        self._resized_launches: dict[int, Launch] = {}
        for size in reversed(self.buckets.sizes):
            self._prepare(size)

    @property
    def ranked_classes(self) -> int:
        """Of each picture."""
        return self._memory.ranked_classes

    def run(self, pictures: Pictures, explain: bool = False) -> Answered:
        """Pictures → logits (N, classes), and maps (N, h, w) where asked.

        Args:
            pictures: at most the largest bucket at the network's size. Of decoded ones as many are taken, from the
                first on, as there is room for; the rows of the answer tell how many.
        Raises:
            torch.OutOfMemoryError, RuntimeError: the device failed.
            ValueError: the first is larger than all room; or there is none, without ``resizing``.
        """
        with torch.inference_mode(), self.device.stream():
            count, stages = self._run(pictures)
            self._memory.logits_out(count)
            maps = self._maps(count) if explain else None
            self._finish(stages)
            return self._memory.logits_here(count), maps

    def rank(self, pictures: Pictures) -> Ranked:
        """As ``run``; the best classes alone."""
        with torch.inference_mode(), self.device.stream():
            count, stages = self._run(pictures)
            self._memory.ranked_out(count)
            self._finish(stages)
            return self._memory.ranked_here(count)

    def launch(self, size: int, *, resized: bool = False) -> None:
        """Run the bucket of this size on what lies in its pixels, on the current stream, without waiting.

        Args:
            resized: on what ``resizing`` copied in.
        """
        (self._resized_launches if resized else self._launches)[size]()

    def lower(self, below: int) -> bool:
        """Give up the buckets from ``below`` on and their memory; False where it is the last."""
        if not self.buckets.lower(below):
            return False
        for launches in (self._launches, self._resized_launches):
            for size in [size for size in launches if size > self.buckets.largest]:
                del launches[size]
        self.device.release()
        return True

    def let_resize(self, resizing: Resizing) -> None:
        """Take pictures of any sizes from now on, recorded together with the network where this mode records.

        Raises:
            RuntimeError: neither that nor one launch after the other gives the network's answers.
        """
        self.resizing = resizing
        with torch.inference_mode():
            try:
                if self._records:
                    for size in reversed(self.buckets.sizes):
                        self._resized_launches[size] = self.device.record(partial(self._resize_and_answer, size))
                        self._refuse_other_answers(size, resizing)
                    return
            except Exception as error:  # noqa: BLE001 - compilers, drivers and libraries fail in any way
                self.device.release()
                log.warning("%s: resizing is not recorded with the network: %s", self._place, one_line(error))
            for size in self.buckets.sizes:
                self._resized_launches[size] = partial(self._resize_and_launch, size)
            self._refuse_other_answers(self.buckets.largest, resizing)

    @property
    def _records(self) -> bool:
        return self.mode.endswith("graph")

    @property
    def _place(self) -> str:
        return f"torch on {self.device.place}"

    def _run(self, pictures: Pictures) -> tuple[int, tuple[Stage, ...]]:
        """Copy in and launch; how many were taken, and the stages that the device goes through."""
        stored = not isinstance(pictures, np.ndarray)
        if isinstance(pictures, np.ndarray):
            count = len(pictures)
            self._times.begin()
            self._memory.copy_in(pictures)
        elif self.resizing is None:
            raise ValueError("pictures are not resized here")
        else:
            count = self.resizing.pack(pictures[: self.buckets.largest])
            self._times.begin()
            self.resizing.copy_in(self.buckets.fit(count))
        self._times.end("copy_in")
        self.launch(self.buckets.fit(count), resized=stored)
        self._times.end("run")
        return count, STAGES if stored else WITHOUT_RESIZING

    def _finish(self, stages: tuple[Stage, ...]) -> None:
        self._times.end("copy_out")
        self._times.finish(stages)

    def _maps(self, count: int) -> NDArray[np.float32]:
        with CALLS.calling():
            maps = self._network.maps(self._memory.pixels[:count])
        found: NDArray[np.float32] = maps.cpu().numpy()
        return found

    def _answer(self, size: int) -> None:
        """Pixels → logits and best classes."""
        memory = self._memory
        with CALLS.calling():
            memory.logits[:size].copy_(self._forward(memory.pixels[:size]))
        memory.rank(size)

    def _resize_and_answer(self, size: int) -> None:
        self._resize(size)
        self._answer(size)

    def _resize_and_launch(self, size: int) -> None:
        self._resize(size)
        self.launch(size)

    def _resize(self, size: int) -> None:
        if self.resizing is not None:
            self.resizing.resize_into(self._memory.pixels[:size])
            self._times.end("preprocess")

    def _prepare(self, size: int) -> None:
        work = partial(self._answer, size)
        try:
            with torch.inference_mode():
                self._launches[size] = self.device.record(work) if self._records else work
                self._refuse_other_answers(size)
        except RuntimeError as error:
            self._launches.pop(size, None)
            if not (memory_ran_out(error) and self.lower(size)):
                raise
            log.warning("no memory for batches of %d pictures: at most %d run together", size, self.buckets.largest)

    def _refuse_other_answers(self, size: int, resizing: Resizing | None = None) -> None:
        """Compilers and recordings go wrong for one size and not for another: each is held against plain calls.

        Args:
            resizing: hold what resizes first.
        Raises:
            RuntimeError: the answers are not the same.
        """
        memory = self._memory
        pixels = memory.pixels[:size]
        with self.device.stream():
            if resizing is None:
                generator = torch.Generator().manual_seed(size)
                pixels.copy_(torch.randint(0, 256, tuple(pixels.shape), generator=generator, dtype=torch.uint8))
            else:
                resizing.pack(proof_pictures(size, pixels.shape[3]))
                resizing.copy_in(size)
                pixels.zero_()
            memory.forget_answers(size)
            self.launch(size, resized=resizing is not None)
            told, ranked = memory.logits[:size].clone(), memory.ranked[:size].clone()
            if resizing is not None:
                pixels.zero_()
                resizing.resize_into(pixels)
            expected = self._network(pixels)
            error = float((told - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
            memory.rank(size)
            same_classes = torch.equal(ranked, memory.ranked[:size])
        if not error <= AGREEMENT:
            raise RuntimeError(f"batches of {size}: answers differ from plain ones by {error:.2%} of the largest")
        if not same_classes:
            raise RuntimeError(f"batches of {size}: the best classes are not those of the answers")


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
            reason = one_line(error)
            faults.append(f"{mode}: {reason}")
            log.warning("torch on %s: %s failed, the next way is taken: %s", device.place, mode, reason)
    raise BackendLoadError(f"torch can't run the network on {open_device().place}: {'; '.join(faults)}")


def failed(error: Exception, images: int) -> BackendError:
    """What a caller is told of a run that failed."""
    return BackendError(f"torch failed on a batch of {images}: {one_line(error)}")


def one_line(error: Exception) -> str:
    """What it says, for a log."""
    return " ".join(str(error).split())[:400] or type(error).__name__
