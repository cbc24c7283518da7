"""Whether a network may be trained with its tensors lying channel by channel (NHWC).

Not every one: on CPUs, torch's backward of a strided 1×1 convolution of fewer than eight channels writes
beside its memory there (torch 2.13, AVX2), which ends in a crash or in wrong weights. Pruned networks have
such shortcuts. They are trained in the ordinary layout, where nothing of the kind happens.
"""

import torch
from torch import nn

FEWEST_CHANNELS = 8


def may_lie_by_channel(module: nn.Module, device: torch.device) -> bool:
    """False where a convolution of ``module`` is one of those."""
    return device.type != "cpu" or not any(_is_unsafe(one) for one in module.modules())


def _is_unsafe(one: nn.Module) -> bool:
    if not isinstance(one, nn.Conv2d) or max(one.kernel_size) > 1 or max(one.stride) == 1:
        return False
    return one.in_channels // one.groups < FEWEST_CHANNELS
