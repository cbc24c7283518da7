"""Too little light, and pixels that fail."""

import torch
from torch import Generator, Tensor

from optimize.judging.corruptions.severity import strength


def gaussian_noise(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """Gaussian noise for each value by itself."""
    deviation = strength(pictures, severity, photo=(0.08, 0.12, 0.18, 0.26, 0.38), small=(0.04, 0.06, 0.08, 0.09, 0.10))
    grain = torch.randn(pictures.shape, generator=generator).to(pictures.device)
    return pictures + deviation * grain


def shot_noise(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """Each value counted by few photons: a Poisson number of them."""
    photons = strength(pictures, severity, photo=(60, 25, 12, 5, 3), small=(500, 250, 100, 75, 50))
    counted = torch.poisson(pictures.cpu() * photons, generator=generator)
    return counted.to(pictures.device) / photons


def impulse_noise(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """Some values all black, as many all white."""
    amount = strength(pictures, severity, photo=(0.03, 0.06, 0.09, 0.17, 0.27), small=(0.01, 0.02, 0.03, 0.05, 0.07))
    chance = torch.rand(pictures.shape, generator=generator).to(pictures.device)
    salted = torch.where(chance < amount / 2, 1.0, pictures)
    return torch.where(chance >= 1 - amount / 2, 0.0, salted)
