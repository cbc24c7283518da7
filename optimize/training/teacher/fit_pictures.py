"""The student's pictures as another network wants them: its size, its channels."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from model_zoo.spec import InputSpec

# Rec. 601, as Pillow turns RGB to grey.
LUMA = (0.299, 0.587, 0.114)


def fit_pictures(pictures: Tensor, spec: InputSpec, *, resize: bool = True) -> Tensor:
    """Resize to the input's height and width, antialiased, and turn grey to RGB or back.

    The whole picture is stretched, nothing is cropped: what the student sees, the teacher sees.

    Args:
        pictures: float (N, 1 or 3, H, W) in 0 to 1.
    Returns:
        float32 (N, spec.channels, height, width) in 0 to 1.
    """
    fitted = _channels(pictures.float(), spec.channels)
    if not resize or fitted.shape[2:] == (spec.height, spec.width):
        return fitted
    mode = "bicubic" if spec.resize.filter in ("bicubic", "lanczos") else "bilinear"
    sized = interpolate(fitted, (spec.height, spec.width), mode=mode, antialias=True, align_corners=False)
    return sized.clamp(0, 1)


def _channels(pictures: Tensor, channels: int) -> Tensor:
    if pictures.shape[1] == channels:
        return pictures
    if channels == 3:
        return pictures.expand(-1, 3, -1, -1)
    luma = torch.tensor(LUMA, dtype=pictures.dtype, device=pictures.device).view(1, 3, 1, 1)
    return (pictures * luma).sum(dim=1, keepdim=True)
