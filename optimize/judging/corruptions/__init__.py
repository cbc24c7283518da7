"""Pictures made worse in the ways that the world makes them worse, to see what a network still knows.

Twelve of the fifteen common corruptions of Hendrycks & Dietterich (2019), each in
five severities, by their formulas and their numbers. They gave two sets of numbers:
one for photos of 224 px (ImageNet-C), one for pictures of 32 px (CIFAR-10-C), which
small pictures here take. Lengths in px shrink and grow with the picture's side, so
that a photo of 128 px is as blurred as one of 224.

Left out: glass blur (swaps pixels one after another, slow), snow and frost (need
photographs of them). What differs: the disc of the defocus is antialiased, and the
cloud of the fog is wrapped round its edges, the same in each picture's channels.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from optimize.choice import nearest
from optimize.errors import DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Corruption = Callable[[Tensor, int, torch.Generator], Tensor]

SEVERITIES = (1, 2, 3, 4, 5)

_HERE = "optimize.judging.corruptions"

# name → "module:function"; as the paper groups them: noise, blur, weather, digital
CORRUPTIONS: Mapping[str, str] = {
    "gaussian_noise": f"{_HERE}.noise:gaussian_noise",
    "shot_noise": f"{_HERE}.noise:shot_noise",
    "impulse_noise": f"{_HERE}.noise:impulse_noise",
    "defocus_blur": f"{_HERE}.blur:defocus_blur",
    "motion_blur": f"{_HERE}.blur:motion_blur",
    "zoom_blur": f"{_HERE}.blur:zoom_blur",
    "fog": f"{_HERE}.weather:fog",
    "brightness": f"{_HERE}.weather:brightness",
    "contrast": f"{_HERE}.digital:contrast",
    "elastic": f"{_HERE}.elastic:elastic",
    "pixelate": f"{_HERE}.digital:pixelate",
    "jpeg_compression": f"{_HERE}.digital:jpeg_compression",
}


def corrupt(pictures: "Tensor", name: str, severity: int, generator: "torch.Generator") -> "Tensor":
    """A batch made worse.

    Args:
        pictures: float (N, C, H, W) in 0 to 1, C 1 or 3, on any device.
        name: one of ``CORRUPTIONS``.
        severity: 1 to 5.
        generator: on the CPU; the result is the same on every device, to rounding.
    Returns:
        Float (N, C, H, W) in 0 to 1; ``pictures`` stays as it is.
    Raises:
        DataError: no such corruption or severity.
    """
    import importlib

    import torch

    if name not in CORRUPTIONS:
        raise DataError(f"no corruption is named {name!r}{nearest(name, CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise DataError(f"a corruption's severity is 1 to 5, not {severity}")
    module, _, attribute = CORRUPTIONS[name].partition(":")
    corruption: Corruption = getattr(importlib.import_module(module), attribute)
    with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
        return corruption(pictures.float(), severity, generator).clamp(0, 1)
