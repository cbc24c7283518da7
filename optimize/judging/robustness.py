"""How accuracy falls when pictures get worse: noise, blur, weather, compression at several severities.

After Hendrycks and Dietterich (2019): corruptions act on pictures at the model's input size,
drawn by seed, so that two models of one input size see the same pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimize.data.dataset import Dataset
from optimize.errors import DataError
from optimize.judging.agreement import Share
from optimize.judging.ask import prepared
from optimize.judging.judged_model import JudgedModel
from optimize.judging.judgement import Figure
from optimize.seeding import generator, numpy_generator

SEVERITIES = (1, 3, 5)
MOST_PICTURES = 500
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Corrupted:
    """Top-1 on one kind of corruption; severity 1 is mild, 5 the worst."""

    corruption: str
    severity: int
    top1: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """Top-1 on ``n`` pictures: as they are, on each corruption, and the plain mean over these."""

    n: int
    clean: Figure
    cells: tuple[Corrupted, ...]
    mean: float

    @property
    def kept(self) -> float | None:
        """The share of clean accuracy that is left in the mean; None where there was none."""
        return self.mean / self.clean.value if self.clean.value else None


def robustness(
    model: JudgedModel,
    dataset: Dataset,
    *,
    seed: int,
    severities: tuple[int, ...] = SEVERITIES,
    most: int = MOST_PICTURES,
    progress: Progress | None = None,
) -> Robustness:
    """Judge on corrupted pictures.

    Args:
        dataset: as for ``ask``; of more than ``most`` labelled pictures, so many are drawn by seed.
        progress: told (runs over the pictures done, planned).
    Raises:
        DataError: no labelled picture can be decoded.
    """
    from optimize.judging.corruptions import CORRUPTIONS

    pictures, labels = _sample(model, dataset, seed, most)
    plan = [(name, severity) for name in CORRUPTIONS for severity in severities]
    clean = _top1(model.logits(pictures), labels)
    cells = []
    for place, (name, severity) in enumerate(plan):
        rows = [
            model.logits(corrupted(pictures[start : start + 64], name, severity, seed, start))
            for start in range(0, len(pictures), 64)
        ]
        cells.append(Corrupted(name, severity, _top1(np.concatenate(rows), labels)))
        if progress:
            progress(place + 1, len(plan))
    mean = float(np.mean([cell.top1.value for cell in cells]))
    return Robustness(n=len(labels), clean=clean, cells=tuple(cells), mean=mean)


def corrupted(pictures: NDArray[np.uint8], name: str, severity: int, seed: int, place: int) -> NDArray[np.uint8]:
    """uint8 (N, H, W, C) → the same, corrupted; ``place`` is where these pictures stand among all."""
    import torch

    from optimize.judging.corruptions import corrupt

    floats = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    drawn = corrupt(floats, name, severity, generator(seed, "corruption", name, severity, place))
    back: NDArray[np.uint8] = (drawn.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return back


def _sample(model: JudgedModel, dataset: Dataset, seed: int, most: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    known = np.flatnonzero(dataset.first_labels >= 0)
    if len(known) > most:
        known = np.sort(numpy_generator(seed, "robustness").choice(known, most, replace=False))
    kept: list[int] = []
    parts = []
    for indices, pictures, _ in prepared(dataset, known, model.spec):
        kept += indices
        parts.append(pictures)
    if not kept:
        raise DataError(f"{dataset.name}: there is no labelled picture that can be decoded")
    return np.concatenate(parts), dataset.first_labels[kept]


def _top1(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Figure:
    share = Share(int((logits.argmax(axis=1) == labels).sum()), len(labels))
    return Figure(share.value, share.ci95)
