"""The memory of one instance's batches, here and on the device: taken once, at the same addresses for every batch."""

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.spec import InputSpec
from server.backends import Ranked
from server.backends.torch_engine.device import TorchDevice
from server.backends.torch_engine.network import PixelNetwork
from server.backends.torch_engine.ranking import MOST, rank, unpacked


class BatchMemory:
    """For ``limit`` pictures at most; a smaller batch is the beginning of each.

    Attributes:
        pixels: uint8, (limit, H, W, C), on the device.
        logits: float32, (limit, classes), on the device.
        ranked: int32, (limit, 2 · ranked_classes), on the device; see ``ranking.rank``.
    """

    def __init__(self, network: PixelNetwork, spec: InputSpec, limit: int, device: TorchDevice) -> None:
        shape = (limit, spec.height, spec.width, spec.channels)
        self._pixels_here = device.staging(shape, torch.uint8)
        with torch.inference_mode(), device.stream():
            self.pixels = torch.zeros(shape, dtype=torch.uint8, device=device.place)
            classes: int = network(self.pixels[:1]).shape[1]
            self.ranked_classes: int = min(MOST, classes)
            self.logits = torch.zeros((limit, classes), dtype=torch.float32, device=device.place)
            self.ranked = torch.zeros((limit, 2 * self.ranked_classes), dtype=torch.int32, device=device.place)
        device.wait()
        self._activation = network.activation
        self._logits_here = device.staging(tuple(self.logits.shape), torch.float32)
        self._ranked_here = device.staging(tuple(self.ranked.shape), torch.int32)

    def copy_in(self, batch: NDArray[np.uint8]) -> None:
        """(N, H, W, C), to the first rows of ``pixels``."""
        count = len(batch)
        self._pixels_here[:count].numpy()[:] = batch
        self.pixels[:count].copy_(self._pixels_here[:count], non_blocking=True)

    def rank(self, size: int) -> None:
        """The best classes of the first logits."""
        self.ranked[:size].copy_(rank(self.logits[:size], self._activation, self.ranked_classes))

    def forget_answers(self, size: int) -> None:
        """Nothing that was computed before can be taken for an answer."""
        self.logits[:size].fill_(torch.nan)
        self.ranked[:size].fill_(-1)

    def logits_out(self, count: int) -> None:
        """Begin to bring them here."""
        self._logits_here[:count].copy_(self.logits[:count], non_blocking=True)

    def ranked_out(self, count: int) -> None:
        """Begin to bring them here."""
        self._ranked_here[:count].copy_(self.ranked[:count], non_blocking=True)

    def logits_here(self, count: int) -> NDArray[np.float32]:
        """What came; (N, classes), the caller's own."""
        told: NDArray[np.float32] = np.array(self._logits_here[:count].numpy())
        return told

    def ranked_here(self, count: int) -> Ranked:
        """What came; the caller's own."""
        return unpacked(self._ranked_here[:count])
