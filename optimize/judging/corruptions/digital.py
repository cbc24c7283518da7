"""What cameras, cables and codecs do."""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor

from optimize.judging.corruptions.severity import strength


def contrast(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """Each channel nearer to its mean."""
    kept = strength(pictures, severity, photo=(0.4, 0.3, 0.2, 0.1, 0.05), small=(0.75, 0.5, 0.4, 0.3, 0.15))
    mean = pictures.mean((2, 3), keepdim=True)
    return (pictures - mean) * kept + mean


def pixelate(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """Made smaller by the mean of boxes, and larger again pixel by pixel."""
    share = strength(pictures, severity, photo=(0.6, 0.5, 0.4, 0.3, 0.25), small=(0.95, 0.9, 0.85, 0.75, 0.65))
    high, wide = pictures.shape[2:]
    small = _boxed(_boxed(pictures, 2, max(1, int(high * share))), 3, max(1, int(wide * share)))
    return _boxed(_boxed(small, 2, high), 3, wide)


def _boxed(pictures: Tensor, axis: int, size: int) -> Tensor:
    """Resize one axis as Pillow's BOX does: the mean of the pixels whose middles lie under each new one."""
    weights = box_weights(pictures.shape[axis], size).float().to(pictures.device)
    boxed: Tensor = torch.tensordot(pictures, weights, dims=([axis], [1]))
    return boxed.movedim(-1, axis)


def box_weights(source: int, result: int) -> Tensor:
    """(result, source) float64, each row's sum 1."""
    middles = (2 * torch.arange(result)[:, None] + 1) * source
    away = (2 * torch.arange(source) + 1) * result - middles
    reach = max(source, result)
    weights = ((away > -reach) & (away <= reach)).double()
    return weights / weights.sum(1, keepdim=True)


def jpeg_compression(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """Through JPEG, of low quality."""
    quality = strength(pictures, severity, photo=(25, 18, 15, 10, 7), small=(80, 65, 58, 50, 40))
    pixels = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    through = np.stack([_through_jpeg(one, quality) for one in pixels])
    return torch.from_numpy(through).to(pictures.device).permute(0, 3, 1, 2).float().div(255).contiguous()


def _through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    grey = pixels.shape[2] == 1
    body = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if grey else pixels).save(body, "JPEG", quality=quality)
    with Image.open(body) as picture:
        return np.asarray(picture, np.uint8).reshape(pixels.shape)
