"""The input each architecture was trained on; free of torch.

What is not listed takes ``IMAGENET_INPUT``: 224 px, centre crop 0.875, the
ImageNet mean and standard deviation, bilinear.
"""

from dataclasses import replace

from model_zoo.spec import InputSpec, Resize

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def rgb_input(
    size: int, resize: Resize, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> InputSpec:
    """A square RGB input of ``size`` px, cropped from the centre; mean and std in 0–255 units."""
    return InputSpec(size, size, 3, "rgb", resize, "centre", mean, std)


def lite_input(size: int) -> InputSpec:
    """EfficientNet-Lite's: (x − 127) / 128, bicubic, the centre 0.875 of the shorter side."""
    resize = Resize("shorter_side", round(size / 0.875), "bicubic")
    return rgb_input(size, resize, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))


IMAGENET_INPUT = rgb_input(224, Resize("shorter_side", 256, "bilinear"))
# Fashion-MNIST's mean and deviation (72.94, 90.02), whole so that the INT8 pass can melt them into the first layer.
GREY28_INPUT = InputSpec(28, 28, 1, "grey", Resize("stretch", 28, "bilinear"), "none", (73.0,), (90.0,))

INPUTS: dict[str, InputSpec] = {
    "efficientnet_lite0": lite_input(224),
    "efficientnet_lite1": lite_input(240),
    "efficientnet_lite2": lite_input(260),
    "efficientnet_lite3": lite_input(280),
    "efficientnet_lite4": lite_input(300),
    "efficientnet_lite0_short": lite_input(96),
    "seresnet50": replace(IMAGENET_INPUT, resize=Resize("shorter_side", 256, "bicubic")),
    "grey28": GREY28_INPUT,
    "grey28_small": GREY28_INPUT,
    "grey28_wide": GREY28_INPUT,
}
