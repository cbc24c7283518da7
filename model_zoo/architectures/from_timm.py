"""``timm:NAME``: networks of the timm library, where it is installed."""

import importlib
from types import ModuleType

from torch import nn

from model_zoo.architectures import Argument, suggestion
from model_zoo.architectures.inputs import rgb_input
from model_zoo.errors import UnknownArchitectureError
from model_zoo.spec import InputSpec, Resize, ResizeFilter

_FILTERS: dict[str, ResizeFilter] = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "lanczos": "lanczos",
}


def build(name: str, num_classes: int, **arguments: Argument) -> nn.Module:
    """An untrained network of timm's.

    Raises:
        UnknownArchitectureError: timm is not installed, or has no such model.
    """
    timm = _timm(name)
    module: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, **arguments)
    return module


def input_spec(name: str) -> InputSpec:
    """What timm's configuration of the pretrained weights says.

    Raises:
        UnknownArchitectureError: timm is not installed, has no such model, or it does not take RGB.
    """
    config = _timm(name).get_pretrained_cfg(name)
    channels, height, width = config.input_size
    if channels != 3 or height != width:
        raise UnknownArchitectureError(f"timm:{name} takes {config.input_size}, not a square RGB picture")
    resize = Resize("shorter_side", int(height / config.crop_pct), _FILTERS.get(config.interpolation, "bicubic"))
    mean, std = (tuple(255.0 * value for value in values) for values in (config.mean, config.std))
    return rgb_input(height, resize, mean, std)


def _timm(name: str) -> ModuleType:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise UnknownArchitectureError(f"timm:{name} needs the timm library: pip install timm") from error
    if not timm.is_model(name):
        raise UnknownArchitectureError(f"timm has no model {name!r}{suggestion(name, timm.list_models())}")
    return timm
