"""Pictures, draws and Pillow's opinion, for the tests of augmentation."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from optimize.training.step import Draw


def draw(height: int = 24, width: int | None = None, seed: int = 1) -> Draw:
    """A draw of its own generator; square without a width."""
    return Draw(torch.Generator().manual_seed(seed), height, width or height)


def pictures(count: int = 6, channels: int = 3, height: int = 24, width: int | None = None, seed: int = 7) -> Tensor:
    """Float (N, C, H, W) on 8-bit levels: soft shapes with a little grain, as photos have."""
    source = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0 : width or height] / height
    phase, pitch = source.uniform(0, 6, (count, channels, 1, 1)), source.uniform(3, 9, (count, channels, 2, 1, 1))
    waves = np.sin(phase + pitch[:, :, 0] * rows + pitch[:, :, 1] * columns)
    grain = source.normal(0, 0.1, waves.shape)
    levels = np.clip(128 + 90 * waves + 90 * grain, 0, 255).astype(np.uint8)
    return torch.from_numpy(levels).float() / 255


def to_pillow(picture: Tensor) -> Image.Image:
    """(C, H, W) in 0 to 1, on 8-bit levels."""
    pixels = (picture * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def from_pillow(image: Image.Image) -> Tensor:
    """(C, H, W) float32 in 0 to 1."""
    pixels: NDArray[np.uint8] = np.array(image, np.uint8)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).float() / 255


def bytes_of(batch: Tensor) -> Tensor:
    """Float 0 to 1 → uint8, what a pipeline takes."""
    return (batch * 255).round().to(torch.uint8)
