"""One operation for each picture, drawn with its strength: nothing to tune."""

import torch
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.geometry import Chance, happens, uniform
from optimize.training.augmentations.policy_operations import apply_chosen, operations
from optimize.training.step import Draw

# The paper's "wide" ranges; it moves by 32 px of ImageNet's 224.
WIDE = operations({"shear": 0.99, "translate": 32 / 224, "rotate": 135.0}, enhance=0.99, bits=2, solarize=0.0)


class TrivialAugment(Choice):
    """TrivialAugment (wide), Müller and Hutter, 2021.

    Attributes:
        probability: the chance that an operation is drawn for a picture at all.
    """

    probability: Chance = 1.0

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        count = len(pictures)
        chosen = torch.randint(len(WIDE), (count,), generator=draw.generator)
        strength = uniform(count, 0, 1, draw)
        positive = happens(count, 0.5, draw)
        done = happens(count, self.probability, draw)
        return apply_chosen(pictures, WIDE, chosen.where(done, 0), strength, positive)
