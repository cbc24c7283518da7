"""Batches of an epoch, in the order that seed and epoch give.

From memory a batch is one gather; nothing is collated. From a streamed store a
few batches are asked for ahead, in order, so that the loop finds them ready.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.data.order import Sample, epoch_order
from optimize.data.picture_store import PictureStore


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """N pictures.

    Attributes:
        pictures: uint8 (N, C, H, W).
        labels: int64 (N, tasks).
        indices: int64 (N,), places in the data set.
    """

    pictures: Tensor
    labels: Tensor
    indices: Tensor


class Loader:
    """Goes through a store, epoch by epoch."""

    def __init__(
        self,
        store: PictureStore,
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        sample: Sample = "shuffle",
        repeats: int = 1,
        drop_last: bool = True,
        prefetch: int = 2,
    ) -> None:
        """Nothing is read yet.

        Args:
            labels: (N, tasks), or (N,) for one task.
            drop_last: leave out a last batch that is smaller than the others, unless it is the only one.
            prefetch: batches decoded ahead, where the store is not in memory.
        """
        if len(store) != len(labels) or len(store) == 0:
            raise ValueError(f"a store of {len(store)} pictures and {len(labels)} rows of labels do not go together")
        self._store, self._prefetch = store, prefetch
        self._labels = torch.from_numpy(np.ascontiguousarray(labels, np.int64).reshape(len(labels), -1))
        self._first_labels = self._labels[:, 0].numpy()
        self._seed, self._sample, self._repeats = seed, sample, repeats
        self.batch_size, self.drop_last = batch_size, drop_last

    def __len__(self) -> int:
        """Batches of an epoch."""
        whole, rest = divmod(len(self._store), self.batch_size)
        return whole if whole and self.drop_last else whole + (rest > 0)

    def epoch(self, epoch: int) -> Iterator[LoadedBatch]:
        """Batches of epoch ``epoch`` (from 0).

        Raises:
            DataError: a file that was readable is no longer.
        """
        order = epoch_order(self._first_labels, self._seed, epoch, sample=self._sample, repeats=self._repeats)
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        batches = (order[start : start + self.batch_size] for start in starts)
        return map(self._load, batches) if self._store.is_in_memory else self._load_ahead(batches)

    def _load(self, indices: NDArray[np.int64]) -> LoadedBatch:
        places = torch.from_numpy(indices)
        return LoadedBatch(self._store.batch(indices), self._labels.index_select(0, places), places)

    def _load_ahead(self, batches: Iterator[NDArray[np.int64]]) -> Iterator[LoadedBatch]:
        waiting: deque[Future[LoadedBatch]] = deque()
        with ThreadPoolExecutor(self._prefetch, thread_name_prefix="prefetch") as pool:
            try:
                for indices in batches:
                    waiting.append(pool.submit(self._load, indices))
                    if len(waiting) > self._prefetch:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for one in waiting:
                    one.cancel()
