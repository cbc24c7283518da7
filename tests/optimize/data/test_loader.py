"""Batches of an epoch, from memory and streamed."""

import threading

import numpy as np
import pytest
import torch

from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import Dataset, Task
from optimize.data.loader import Loader
from optimize.data.order import epoch_order
from optimize.data.picture_store import PictureStore, StoredShape, open_store
from optimize.errors import DataError

LABELS = np.stack([np.arange(23) % 3, np.arange(23) % 2], axis=1)


def store(memory_mb: int, workers: int = 2) -> PictureStore:
    """Picture i is all i."""
    pixels = np.broadcast_to(np.arange(23, dtype=np.uint8)[:, None, None, None], (23, 4, 4, 1)).copy()
    dataset = Dataset("some", ArrayPictures(pixels), np.arange(23), LABELS, (Task("a", ("x",)), Task("b", ("y",))))
    return open_store(dataset, StoredShape(4, 4, 1), memory_mb=memory_mb, workers=workers)


def loader(memory_mb: int = 10, **settings: object) -> Loader:
    return Loader(store(memory_mb), LABELS, **{"batch_size": 5, "seed": 1, **settings})


@pytest.mark.parametrize("memory_mb", [0, 10])
def test_pictures_labels_and_indices_go_together(memory_mb: int) -> None:
    batches = list(loader(memory_mb, drop_last=False).epoch(0))
    assert [len(batch.indices) for batch in batches] == [5, 5, 5, 5, 3]
    for batch in batches:
        assert torch.equal(batch.pictures[:, 0, 0, 0].long(), batch.indices)
        assert torch.equal(batch.labels, torch.from_numpy(LABELS)[batch.indices])
        assert batch.pictures.dtype == torch.uint8
    assert torch.cat([batch.indices for batch in batches]).tolist() == epoch_order(LABELS[:, 0], 1, 0).tolist()


@pytest.mark.parametrize("prefetch", [1, 2, 7])
@pytest.mark.parametrize("workers", [1, 4])
def test_neither_workers_nor_prefetch_change_the_order(workers: int, prefetch: int) -> None:
    streamed = Loader(store(0, workers), LABELS, batch_size=5, seed=1, prefetch=prefetch)
    for epoch in range(2):
        expected = [batch.indices.tolist() for batch in loader().epoch(epoch)]
        assert [batch.indices.tolist() for batch in streamed.epoch(epoch)] == expected


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "sizes"),
    [(5, True, [5] * 4), (5, False, [5, 5, 5, 5, 3]), (23, True, [23]), (40, True, [23]), (40, False, [23])],
)
def test_the_last_batch(batch_size: int, drop_last: bool, sizes: list[int]) -> None:
    made = loader(batch_size=batch_size, drop_last=drop_last)
    assert len(made) == len(sizes)
    assert [len(batch.indices) for batch in made.epoch(0)] == sizes


def test_balanced_and_repeated_sampling_reach_the_batches() -> None:
    made = loader(sample="balanced", repeats=2, batch_size=6, drop_last=False)
    indices = torch.cat([batch.indices for batch in made.epoch(0)])
    assert indices.tolist() == epoch_order(LABELS[:, 0], 1, 0, sample="balanced", repeats=2).tolist()


def test_labels_of_one_task_may_be_flat() -> None:
    batch = next(iter(Loader(store(10), LABELS[:, 0], batch_size=5, seed=1).epoch(0)))
    assert batch.labels.shape == (5, 1)


def test_a_loop_that_ends_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    streamed = store(0)
    batches = Loader(streamed, LABELS, batch_size=5, seed=1).epoch(0)
    next(iter(batches))
    batches.close()
    streamed.close()
    assert threading.active_count() == before


def test_no_more_than_prefetch_batches_are_decoded_ahead() -> None:
    class Counting:
        is_in_memory = False
        asked = 0

        def __len__(self) -> int:
            return 23

        def batch(self, indices: np.ndarray) -> torch.Tensor:
            self.asked += 1
            return torch.zeros(len(indices), 1, 4, 4, dtype=torch.uint8)

        def close(self) -> None: ...

    counting = Counting()
    batches = Loader(counting, LABELS, batch_size=2, seed=1, prefetch=2).epoch(0)
    next(batches)
    batches.close()
    assert counting.asked <= 3


def test_an_error_in_a_thread_comes_out_of_the_loop() -> None:
    class Broken:
        is_in_memory = False

        def __len__(self) -> int:
            return 23

        def batch(self, indices: np.ndarray) -> torch.Tensor:
            raise DataError("hat/1.jpg: gone")

        def close(self) -> None: ...

    with pytest.raises(DataError, match=r"hat/1\.jpg: gone"):
        list(Loader(Broken(), LABELS, batch_size=5, seed=1).epoch(0))


def test_labels_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="23 pictures and 22 rows"):
        Loader(store(10), LABELS[:22], batch_size=5, seed=1)
