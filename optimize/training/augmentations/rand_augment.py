"""A few operations for each picture, all of one strength: two numbers to tune."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.geometry import Chance, happens
from optimize.training.augmentations.policy_operations import apply_chosen, operations
from optimize.training.step import Draw

# The paper's strengths at its top magnitude; it moves by 150 px of ImageNet's 331.
TABLE = operations({"shear": 0.3, "translate": 150 / 331, "rotate": 30.0}, enhance=0.9, bits=4, solarize=0.0)
TOP = 30


class RandAugment(Choice):
    """RandAugment, Cubuk et al., 2020.

    Attributes:
        operations: how many are drawn for each picture, one after another.
        magnitude: their strength, of 30.
        probability: the chance that a picture is changed.
    """

    operations: Annotated[int, Field(ge=1, le=14)] = 2
    magnitude: Annotated[float, Field(gt=0, le=TOP)] = 9.0
    probability: Chance = 1.0

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        count = len(pictures)
        strength = torch.full((count,), self.magnitude / TOP, dtype=torch.float64)
        done = happens(count, self.probability, draw)
        for _ in range(self.operations):
            chosen = torch.randint(len(TABLE), (count,), generator=draw.generator)
            pictures = apply_chosen(pictures, TABLE, chosen.where(done, 0), strength, happens(count, 0.5, draw))
        return pictures
