"""What making candidates has at hand: the parent, the pictures by what they are for, and the training tools.

Training pictures calibrate (or photos that the recipe names do) and fine-tune; the validation half chooses which
candidates are on the front; the guard's half is looked at once, in the end, and by nothing before.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model_zoo.bundle import Bundle
from model_zoo.spec import InputSpec
from optimize.candidates.photo_views import PhotoViews
from optimize.candidates.recipe import SHOWN, OptimizeRecipe
from optimize.candidates.shown import ShownPictures
from optimize.data.dataset import Dataset
from optimize.data.read import Data
from optimize.data.splits import copy_groups, stratified_split
from optimize.errors import DataError
from optimize.passes.pictures import Pictures
from optimize.seeding import numpy_generator

if TYPE_CHECKING:
    from optimize.training.compound_run import Train


@dataclass(frozen=True)
class Bench:
    """One run's; ``folder`` is the run's.

    Attributes:
        data: ``train``; ``val``, which chooses; ``test``, which guards.
        train: one training, or what stands for it in a test.
        say: tells a person how it goes, a line at a time.
    """

    recipe: OptimizeRecipe
    folder: Path
    parent: Bundle
    data: Data
    train: "Train"
    say: Callable[[str], None]

    @property
    def guard(self) -> Dataset:
        """Pictures that nothing but the guard sees."""
        if self.data.test is None:
            raise DataError("there are no pictures for the guard")
        return self.data.test

    @cached_property
    def shown(self) -> Dataset:
        """Some training pictures, in their order, for passes and for scores of channels."""
        n, said = len(self.data.train), self.recipe.calibration
        count = said if isinstance(said, int) else SHOWN
        chosen = numpy_generator(self.recipe.seed, "calibration").permutation(n)[:count]
        return self.data.train.subset(np.sort(chosen))

    def calibration(self, spec: InputSpec) -> Pictures:
        """What passes are shown, at an input's size: ``shown``, or the photos that the recipe names."""
        said = self.recipe.calibration
        return ShownPictures(self.shown, spec) if isinstance(said, int) else PhotoViews(said, spec)


def with_guard(data: Data, seed: int) -> Data:
    """The data with a test set: their own, or else half of the validation pictures, of each class its share.

    Raises:
        DataError: too few pictures to halve.
    """
    if data.test is not None:
        return data
    val = data.val
    kept, taken = stratified_split(val.first_labels, 0.5, seed, groups=copy_groups(val), place="guard")
    if not len(kept) or not len(taken):
        raise DataError(
            f"{len(val)} pictures are too few to choose and to guard; add pictures, or name some with --test"
        )
    return replace(data, val=val.subset(kept), test=val.subset(taken, "test"))
