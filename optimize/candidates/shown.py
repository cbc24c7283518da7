"""Training pictures that passes are shown, decoded when they are asked for: memory does not grow with their number."""

import numpy as np
from numpy.typing import NDArray

from model_zoo.spec import InputSpec
from optimize.data.dataset import Dataset
from optimize.errors import DataError
from optimize.judging.ask import prepared


class ShownPictures:
    """Some pictures of a data set at an input's size; see ``optimize.passes.pictures.Pictures``."""

    def __init__(self, dataset: Dataset, spec: InputSpec) -> None:
        self._dataset, self._spec = dataset, spec
        self.dtype: np.dtype[np.uint8] = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, height, width, channels)."""
        return len(self._dataset), self._spec.height, self._spec.width, self._spec.channels

    def __len__(self) -> int:
        """How many."""
        return len(self._dataset)

    def __getitem__(self, part: slice, /) -> NDArray[np.uint8]:
        """Some of them, uint8 (n, height, width, channels).

        Raises:
            DataError: one of them can no longer be decoded.
        """
        places = np.arange(len(self))[part]
        found = []
        for _, pictures, broken in prepared(self._dataset, places, self._spec):
            if broken:
                name, reason = broken[0]
                raise DataError(f"{name} can't be decoded any more, so it can't calibrate: {reason}")
            found.append(pictures)
        return np.concatenate(found) if found else np.zeros((0, *self.shape[1:]), np.uint8)
