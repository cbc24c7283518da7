"""From what a loader gives to what a step takes: on the device, augmented, normalised, with rows for targets."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from optimize.data.loader import LoadedBatch, Loader
from optimize.seeding import generator
from optimize.training.augmentations.pipeline import Pipeline
from optimize.training.normalise import Normalise
from optimize.training.step import Draw
from optimize.training.target_rows import TargetRows

# Tells the target folder's epochs within one of the training set's apart.
_MOST_TURNS = 1_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """N pictures, ready.

    Attributes:
        pictures: float (N, C, H, W) in 0 to 1; what enters the head, where features are cached.
        inputs: what the network takes: ``pictures`` normalised.
        targets: (N, sum of classes), rows of probabilities.
        indices: (N,), places in the training set.
        places: the same on the CPU, where looking something up waits for no GPU.
    """

    pictures: Tensor
    inputs: Tensor
    targets: Tensor
    indices: Tensor
    places: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMaker:
    """Makes them.

    Attributes:
        features: the loader's store holds what enters the head, not pictures.
    """

    seed: int
    device: torch.device
    pipeline: Pipeline
    normalise: Normalise
    rows: TargetRows
    features: bool = False

    def make(self, loaded: LoadedBatch, size: tuple[int, int], *place: str | int) -> Batch:
        """One batch.

        Args:
            size: height and width that pictures get.
            place: where random numbers are drawn: part, epoch, step.
        """
        given = self._moved(loaded.pictures)
        indices = loaded.indices.to(self.device, non_blocking=True)
        targets = self.rows(loaded.labels.to(self.device, non_blocking=True))
        if self.features:
            return Batch(given, given, targets, indices, loaded.indices)
        draw = Draw(generator(self.seed, *place), *size)
        pictures, targets = self.pipeline(given, targets, draw)
        return Batch(pictures, self.normalise(pictures), targets, indices, loaded.indices)

    def _moved(self, tensor: Tensor) -> Tensor:
        if self.device.type == "cuda" and not tensor.is_cuda:
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def endless(loader: Loader, epoch: int) -> Iterator[LoadedBatch]:
    """Batches of the target folder for one epoch of the training set, again and again."""
    for turn in range(_MOST_TURNS):
        yield from loader.epoch(epoch * _MOST_TURNS + turn)
