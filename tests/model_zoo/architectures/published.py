"""What is published of each architecture: the figures that ours must have.

Parameters and MACs: torchvision's model table (``num_params``, ``_ops``) and
timm's benchmark table for seresnet50; EfficientNet-Lite's from
d-li14/efficientnet-lite.pytorch. MACs are of one picture, multiply-adds of
convolutions and linear layers. Tensors: entries of the published state dict.
The named tensor is one that tells this layout from others.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """One row; ``macs`` in 10⁹, as precise as it is published."""

    parameters: int
    macs: float
    tensors: int
    tensor: str
    shape: tuple[int, ...]


PUBLISHED: dict[str, Published] = {
    "efficientnet_lite0": Published(4_652_008, 0.385, 296, "blocks.5.0.conv_dw.weight", (672, 1, 5, 5)),
    "efficientnet_lite1": Published(5_416_680, 0.600, 386, "blocks.5.4.conv_pwl.weight", (192, 1152, 1, 1)),
    "efficientnet_lite2": Published(6_092_072, 0.860, 386, "blocks.5.4.conv_pwl.weight", (208, 1248, 1, 1)),
    "efficientnet_lite3": Published(8_197_096, 1.383, 440, "blocks.5.5.conv_pw.weight", (1392, 232, 1, 1)),
    "efficientnet_lite4": Published(13_006_568, 2.553, 548, "blocks.5.7.conv_pw.weight", (1632, 272, 1, 1)),
    "mobilenet_v2": Published(3_504_872, 0.301, 314, "features.2.conv.1.0.weight", (96, 1, 3, 3)),
    "mobilenet_v3_small": Published(2_542_856, 0.057, 244, "features.1.block.1.fc1.weight", (8, 16, 1, 1)),
    "mobilenet_v3_large": Published(5_483_032, 0.217, 312, "features.4.block.2.fc2.bias", (72,)),
    "resnet18": Published(11_689_512, 1.814, 122, "layer2.0.downsample.1.running_var", (128,)),
    "resnet34": Published(21_797_672, 3.664, 218, "layer3.5.conv2.weight", (256, 256, 3, 3)),
    "resnet50": Published(25_557_032, 4.089, 320, "layer1.0.downsample.0.weight", (256, 64, 1, 1)),
    "seresnet50": Published(28_088_024, 4.09, 384, "layer1.0.se.fc1.weight", (16, 256, 1, 1)),
    "squeezenet1_1": Published(1_235_496, 0.349, 52, "features.3.expand3x3.weight", (64, 16, 3, 3)),
    "densenet121": Published(7_978_856, 2.834, 727, "features.denseblock4.denselayer16.norm1.weight", (992,)),
    "shufflenet_v2_x0_5": Published(1_366_792, 0.040, 338, "stage2.0.branch1.2.weight", (24, 24, 1, 1)),
    "shufflenet_v2_x1_0": Published(2_278_604, 0.145, 338, "stage2.0.branch1.2.weight", (58, 24, 1, 1)),
    "shufflenet_v2_x1_5": Published(3_503_624, 0.296, 338, "stage2.0.branch1.2.weight", (88, 24, 1, 1)),
    "shufflenet_v2_x2_0": Published(7_393_996, 0.583, 338, "stage2.0.branch1.2.weight", (122, 24, 1, 1)),
}
