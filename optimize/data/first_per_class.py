"""The first so many pictures of each class: a limit, to try something on less than all."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from optimize.data.dataset import Labels


def first_per_class(labels: Labels, limit: int, have: Labels | None = None) -> NDArray[np.int64]:
    """Places of the first of each label, ascending: so many that there are ``limit`` with those of ``have``.

    Args:
        labels: (N,).
        have: (M,), the labels of pictures that are there already; None: there are none.
    """
    there = Counter([] if have is None else have.tolist())
    places = [np.flatnonzero(labels == label)[: max(0, limit - there[label])] for label in np.unique(labels).tolist()]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *places]))
