"""Two models that know the same classes in another order: which of one's columns is which of the other's."""

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optimize.data.dataset import UNLABELLED, Dataset
from optimize.errors import DataError


def columns_of(classes: tuple[str, ...], others: tuple[str, ...]) -> NDArray[np.int64]:
    """Where each of ``classes`` stands in ``others``.

    Raises:
        DataError: they are not the same, or stand in another order and some share a name.
    """
    if classes == others:  # two may share a name here: ImageNet has two cranes
        return np.arange(len(classes))
    if set(classes) != set(others):
        only = sorted(set(classes) ^ set(others))
        raise DataError(f"the two models know other classes and can't be compared: {', '.join(only[:10])}")
    doubled = sorted(name for name, times in (Counter(classes) | Counter(others)).items() if times > 1)
    if doubled:
        raise DataError(
            "the two models have their classes in another order, and which is which can't be told, as several have one "
            f"name: {', '.join(doubled[:10])}; give them names of their own"
        )
    place = {name: index for index, name in enumerate(others)}
    return np.array([place[name] for name in classes])


def under_labels(dataset: Dataset, labels: tuple[str, ...]) -> Dataset:
    """The same pictures for a model that has the same classes in the order of ``labels``; of the first task.

    Raises:
        DataError: they are not the same, or stand in another order and some share a name.
    """
    columns = np.append(columns_of(dataset.classes, labels), UNLABELLED)  # UNLABELLED, -1, is the last place
    first = columns[dataset.first_labels][:, None]
    return replace(dataset, labels=first, tasks=(replace(dataset.tasks[0], classes=labels),))
