"""Several data sets as one: more than one folder to train on."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from optimize.data.dataset import Dataset, PictureSource, Pixels
from optimize.data.fitting import SpecFor, fit


@dataclass(frozen=True, slots=True)
class JoinedPictures:
    """A ``PictureSource``: the pictures of ``parts``, one after another; ``starts[k]`` is where part k begins."""

    parts: tuple[PictureSource, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, parts: Sequence[PictureSource]) -> "JoinedPictures":
        """Join them."""
        return cls(tuple(parts), (0, *accumulate(map(len, parts))))

    def __len__(self) -> int:
        return self.starts[-1]

    def read(self, index: int) -> Pixels:
        """See ``PictureSource.read``."""
        part, inside = self._find(index)
        return part.read(inside)

    def fitted(self, index: int, spec_for: SpecFor) -> Pixels:
        """The part's own way to a size."""
        part, inside = self._find(index)
        return fit(part, inside, spec_for)

    def identifier(self, index: int) -> str:
        """See ``PictureSource.identifier``."""
        part, inside = self._find(index)
        return part.identifier(inside)

    def digest(self, index: int) -> bytes:
        """See ``PictureSource.digest``."""
        part, inside = self._find(index)
        return part.digest(inside)

    def _find(self, index: int) -> tuple[PictureSource, int]:
        part = bisect_right(self.starts, index) - 1
        return self.parts[part], index - self.starts[part]


def join(datasets: Sequence[Dataset], name: str) -> Dataset:
    """One data set of all of them, which share their tasks."""
    if len(datasets) == 1:
        return datasets[0]
    source = JoinedPictures.of([one.source for one in datasets])
    positions = [one.positions + start for one, start in zip(datasets, source.starts, strict=False)]
    labels = np.concatenate([one.labels for one in datasets])
    return Dataset(name, source, np.concatenate(positions), labels, datasets[0].tasks)
