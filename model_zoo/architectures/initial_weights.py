"""Weights before training: He's normal for convolutions, a small normal for the last layer.

Source: He et al., "Delving Deep into Rectifiers" (2015). The fan counts the
outputs of one group, as TensorFlow does, so depthwise convolutions start at the
scale of the others. A layer may keep what it was made with: ``keeps_initial_weights``.
"""

import math

from torch import nn


def initialise(module: nn.Module) -> nn.Module:
    """Draw new weights in place from torch's generator (``torch.manual_seed``)."""
    for layer in module.modules():
        if getattr(layer, "keeps_initial_weights", False):
            continue
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[0, 0].numel() * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
    return module
