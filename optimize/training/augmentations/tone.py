"""Changes of tone that are no matrix: Pillow's sharpness, posterize, solarize, autocontrast and equalize.

They give, to rounding, what Pillow gives for 8-bit pictures, on floats in 0 to 1.
"""

import torch
from torch import Tensor


def sharpness(pictures: Tensor, factor: Tensor) -> Tensor:
    """(N, C, H, W) and (N,): 0 smoothed, 1 as it was, 2 sharpened; the outermost px stay as they are."""
    if min(pictures.shape[2:]) < 3:
        return pictures
    inner = pictures[:, :, 1:-1, 1:-1]
    rows = pictures[:, :, :-2] + pictures[:, :, 1:-1] + pictures[:, :, 2:]
    smooth = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]).add_(inner, alpha=4).div_(13)
    changed = pictures.clone()
    changed[:, :, 1:-1, 1:-1] = torch.lerp(smooth, inner, factor[:, None, None, None])
    return changed.clamp_(0, 1)


def posterize(pictures: Tensor, bits: Tensor) -> Tensor:
    """Keep the first ``bits`` (N,), rounded, of each value's eight."""
    step = torch.exp2(8 - bits.round())[:, None, None, None]
    return (levels(pictures) / step).floor_().mul_(step).div_(255)


def solarize(pictures: Tensor, threshold: Tensor) -> Tensor:
    """Turn over what is at least as bright as ``threshold`` (N,)."""
    return torch.where(pictures >= threshold[:, None, None, None], 1 - pictures, pictures)


def autocontrast(pictures: Tensor) -> Tensor:
    """Stretch each channel from 0 to 1; one of a single value stays."""
    low, high = torch.aminmax(pictures.flatten(2), dim=2)
    low, span = low[..., None, None], (high - low)[..., None, None]
    return torch.where(span > 0, (pictures - low) / span.clamp(min=1e-6), pictures).clamp_(0, 1)


def equalize(pictures: Tensor) -> Tensor:
    """Make all levels of each channel about as frequent, by Pillow's formula on 256 levels."""
    values = levels(pictures).long().flatten(2)
    count, channels, size = values.shape
    histogram = torch.zeros(count, channels, 256, dtype=torch.int64, device=pictures.device)
    histogram.scatter_add_(2, values, torch.ones((), dtype=torch.int64, device=pictures.device).expand_as(values))
    highest = torch.arange(256, device=pictures.device).mul(histogram > 0).amax(2, keepdim=True)
    step = (size - histogram.gather(2, highest)) // 255
    before = histogram.cumsum(2) - histogram
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    mapped = table.gather(2, values).float().div_(255).view_as(pictures)
    return torch.where(step[..., None] > 0, mapped, pictures)


def levels(pictures: Tensor) -> Tensor:
    """0 to 1 → whole numbers 0 to 255, as floats."""
    return (pictures * 255).round_()
