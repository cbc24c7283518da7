"""From the pictures of a batch as they are stored to what the network sees.

Augmentations run in the recipe's order. Neighbouring geometric ones are one
resampling, and neighbouring changes of colour one matrix for each picture. The
first resampling also brings pictures to the drawn size, antialiased where they
shrink; without any, that is done first, so that the rest has fewer pixels to do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from optimize.errors import DataError
from optimize.training.augmentations import Augmentation, Mix
from optimize.training.augmentations.colour import Chromatic, recolour
from optimize.training.augmentations.geometry import Geometric, agree, transform
from optimize.training.augmentations.resampling import resize
from optimize.training.step import Draw


class Pipeline:
    """What a recipe chose to do to pictures and targets.

    Attributes:
        augments: in order.
        mixes: one of them, drawn for each picture by itself, ends the pipeline.
    """

    def __init__(self, augments: Sequence[Augmentation] = (), mixes: Sequence[Mix] = ()) -> None:
        self.augments = tuple(augments)
        self.mixes = tuple(mixes)
        self._runs = _runs(self.augments)
        self._resizes_first = not any(isinstance(augment, Geometric) for augment in self.augments)

    @property
    def is_plain(self) -> bool:
        """Nothing is random: pictures are brought to the drawn size and no more."""
        return not self.augments and not self.mixes

    def __call__(self, pictures: Tensor, targets: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """One batch.

        Args:
            pictures: uint8 (N, C, H, W), C 1 or 3, of any size and on any device.
            targets: (N, classes), rows of probabilities; zeros where unlabelled.
            draw: its generator moves on; its size is the result's.
        Returns:
            Float32 (N, C, draw.height, draw.width) in 0 to 1, and targets of the same shape as before.
        Raises:
            DataError: pictures are not uint8, or have another number of channels.
        """
        _check(pictures, targets)
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            changed = pictures.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
            if self._resizes_first:
                changed = resize(changed, draw.height, draw.width)
            for run in self._runs:
                changed = _run(run, changed, draw)
            return self._mixed(changed, targets, draw)

    def _mixed(self, pictures: Tensor, targets: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        if len(self.mixes) <= 1 or not len(pictures):
            for mix in self.mixes:
                pictures, targets = mix(pictures, targets, draw)
            return pictures, targets
        drawn = torch.randint(len(self.mixes), (len(pictures),), generator=draw.generator)
        pictures, targets = pictures.clone(), targets.clone()
        for number, mix in enumerate(self.mixes):
            rows = (drawn == number).nonzero().flatten().to(pictures.device, non_blocking=True)
            pictures[rows], targets[rows] = mix(pictures[rows], targets[rows], draw)
        return pictures, targets


def _runs(augments: Sequence[Augmentation]) -> list[list[Augmentation]]:
    """Neighbours that are done at once lie together; everything else is alone."""
    runs: list[list[Augmentation]] = []
    for augment in augments:
        if runs and _joins(augment, runs[-1]):
            runs[-1].append(augment)
        else:
            runs.append([augment])
    return runs


def _joins(augment: Augmentation, run: list[Augmentation]) -> bool:
    if isinstance(augment, Geometric):
        geometric = [other for other in run if isinstance(other, Geometric)]
        return bool(geometric) and agree([*geometric, augment])
    return isinstance(augment, Chromatic) and isinstance(run[0], Chromatic)


def _run(run: list[Augmentation], pictures: Tensor, draw: Draw) -> Tensor:
    geometric = [augment for augment in run if isinstance(augment, Geometric)]
    if geometric:
        return transform(geometric, pictures, draw)
    chromatic = [augment for augment in run if isinstance(augment, Chromatic)]
    if chromatic:
        return recolour(chromatic, pictures, draw)
    for augment in run:
        pictures = augment(pictures, draw)
    return pictures


def _check(pictures: Tensor, targets: Tensor) -> None:
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
        raise DataError(
            f"augmentation takes uint8 pictures (N, 1 or 3, H, W), not {pictures.dtype} {tuple(pictures.shape)}"
        )
    if targets.ndim != 2 or len(targets) != len(pictures):
        raise DataError(f"{len(pictures)} pictures need {len(pictures)} rows of targets, not {tuple(targets.shape)}")
