"""Pictures out of focus."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.geometry import LENIENT, Chance, happens, uniform
from optimize.training.augmentations.separable import gaussian_weights, separable
from optimize.training.step import Draw

Width = Annotated[float, Field(gt=0, le=50)]


class Blur(Choice):
    """Blur pictures by a Gaussian.

    Attributes:
        sigma: its smallest and largest width in px.
        probability: the chance that a picture is blurred.
    """

    sigma: Annotated[tuple[Width, Width], LENIENT] = (0.1, 2.0)
    probability: Chance = 0.5

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"sigma: the first width must not be above the second, but is: {list(self.sigma)}")
        return self

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        sigma = uniform(len(pictures), *self.sigma, draw)
        rows = happens(len(pictures), self.probability, draw).nonzero().flatten()
        if not len(rows):
            return pictures
        widths = sigma[rows].float().to(pictures.device, non_blocking=True)
        rows = rows.to(pictures.device, non_blocking=True)
        down, across = (gaussian_weights(widths, size) for size in pictures.shape[2:])
        return pictures.index_copy(0, rows, separable(pictures[rows], down, across).clamp_(0, 1))
