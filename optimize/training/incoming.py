"""Pictures and labels on their way into a step: opened, sized, batched and made ready."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optimize.data.dataset import Dataset
from optimize.data.loader import Loader
from optimize.data.picture_store import MemoryStore, PictureStore, open_store, stored_shape
from optimize.data.read import Data
from optimize.training.augmentations.pipeline import Pipeline
from optimize.training.batches import BatchMaker
from optimize.training.network.network import Network
from optimize.training.normalise import Normalise
from optimize.training.recipe import Recipe
from optimize.training.target_rows import TargetRows
from optimize.training.transfer.cached_features import cached_features

# Pictures larger than training needs leave random crops something to choose from.
MARGIN = 1.15
_AT_ONCE = 64


def size_at(recipe: Recipe, network: Network, progress: float) -> tuple[int, int]:
    """Height and width of training pictures: the model's input, or a progressive size in its ratio, if smaller."""
    spec, side = network.spec, recipe.train.side_at(progress)
    if side is None:
        return spec.height, spec.width
    scale = min(side / min(spec.height, spec.width), 1.0)
    return round(spec.height * scale), round(spec.width * scale)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a recipe says of its data, for one network on one device; ``closing`` lets go of what is opened."""

    recipe: Recipe
    data: Data
    network: Network
    device: torch.device
    pipeline: Pipeline
    normalise: Normalise
    closing: ExitStack

    @property
    def is_plain(self) -> bool:
        """A picture is the same in every epoch."""
        return self.pipeline.is_plain and not self.recipe.train.sizes

    def opened(self, dataset: Dataset) -> PictureStore:
        """The pictures, as large as the largest step wants them.

        Raises:
            DataError: a picture that can't be decoded.
        """
        spec, options = self.network.spec, self.recipe.data
        shares = [0.0, *(share for share, _ in self.recipe.train.sizes)]
        largest = max(min(size_at(self.recipe, self.network, share)) for share in shares)
        margin = MARGIN if spec.resize.mode == "shorter_side" else 1.0
        shape = spec if self.pipeline.is_plain else stored_shape(spec, largest, margin)
        store = open_store(
            dataset,
            shape,
            memory_mb=options.memory_mb,
            workers=options.workers,
            device=self.device,
        )
        self.closing.callback(store.close)
        return store

    def featured(self, store: PictureStore) -> MemoryStore:
        """What enters the head in place of the pictures."""

        def batches() -> Iterator[Tensor]:
            for start in range(0, len(store), _AT_ONCE):
                pictures = store.batch(np.arange(start, min(start + _AT_ONCE, len(store))))
                yield self.normalise.of_bytes(pictures.to(self.device))

        return MemoryStore(cached_features(self.network.module, batches()))

    def loader(self, store: PictureStore) -> Loader:
        """Of the training set."""
        options = self.recipe.data
        return Loader(
            store,
            self.data.train.labels,
            batch_size=self.recipe.train.batch_size,
            seed=self.recipe.seed,
            sample=options.sample,
            repeats=options.repeats,
            drop_last=self.recipe.train.drop_last,
            prefetch=options.prefetch,
        )

    def target_loader(self) -> Loader | None:
        """Of the other domain's pictures; None without any."""
        target = self.data.target
        if target is None:
            return None
        return Loader(
            self.opened(target),
            target.labels,
            batch_size=self.recipe.train.batch_size,
            seed=self.recipe.seed + 1,
            prefetch=self.recipe.data.prefetch,
        )

    def maker(self, pipeline: Pipeline, *, features: bool = False) -> BatchMaker:
        """From what a loader gives to what a step takes."""
        return BatchMaker(
            seed=self.recipe.seed,
            device=self.device,
            pipeline=pipeline,
            normalise=self.normalise,
            rows=TargetRows(self.network.tasks, self.device),
            features=features,
        )
