"""Asks a model about a data set, each picture prepared as the server prepares it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.spec import InputSpec
from optimize.data.dataset import Dataset
from optimize.data.fitting import fit_from, thread_count
from optimize.errors import DataError
from optimize.judging.judged_model import JudgedModel
from optimize.judging.predictions import Predictions

CHUNK = 64  # pictures decoded at once: at most some 10 MB at 224 px
Progress = Callable[[int, int], None]
Unreadable = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """Answers, and (picture, reason) of those that could not be decoded and are left out.

    Attributes:
        places: where each answered picture stands in the data set.
    """

    predictions: Predictions
    unreadable: tuple[Unreadable, ...]
    places: tuple[int, ...]


def ask(model: JudgedModel, dataset: Dataset, progress: Progress | None = None) -> Asked:
    """The model's logits for the first task of every picture that has a label.

    Args:
        dataset: its classes must be the model's labels, in that order.
        progress: told (pictures done, pictures in all).
    Raises:
        DataError: other classes, or not one picture is left.
        BackendError: the engine failed.
    """
    if dataset.classes != model.labels:
        raise DataError(f"the data's classes are not in the order of {model.name}'s labels")
    kept: list[int] = []
    rows: list[NDArray[np.float32]] = []
    unreadable: list[Unreadable] = []
    for indices, pictures, broken in prepared(dataset, np.flatnonzero(dataset.first_labels >= 0), model.spec):
        if len(indices):
            rows.append(model.logits(pictures))
            kept += indices
        unreadable += broken
        if progress:
            progress(len(kept) + len(unreadable), len(dataset))
    if not kept:
        raise DataError(f"{dataset.name}: there is no labelled picture that can be decoded")
    identifiers = tuple(dataset.identifier(index) for index in kept)
    predictions = Predictions(np.concatenate(rows), dataset.first_labels[kept], dataset.classes, identifiers)
    return Asked(predictions, tuple(unreadable), tuple(kept))


def prepared(
    dataset: Dataset, indices: NDArray[np.int64], spec: InputSpec, *, workers: int = 0
) -> Iterator[tuple[list[int], NDArray[np.uint8], list[Unreadable]]]:
    """Pictures at a model's input size, in chunks: their indices, (n, height, width, channels), and what was broken.

    Args:
        workers: threads that decode; 0: as many as there are cores.
    """

    def one(index: int) -> NDArray[np.uint8] | Unreadable:
        try:
            return fit_from(dataset, index, lambda _: spec)
        except DataError as error:
            return dataset.identifier(index), str(error)

    with ThreadPoolExecutor(thread_count(workers)) as pool:
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK].tolist()
            found = list(pool.map(one, chunk))
            whole = [(index, one) for index, one in zip(chunk, found, strict=True) if not isinstance(one, tuple)]
            broken = [one for one in found if isinstance(one, tuple)]
            empty = np.zeros((0, spec.height, spec.width, spec.channels), np.uint8)
            pictures = np.stack([picture for _, picture in whole]) if whole else empty
            yield [index for index, _ in whole], pictures, broken
