"""``torchvision:NAME``: classifiers of torchvision, where it is installed."""

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
    """An untrained classifier of torchvision's.

    Raises:
        UnknownArchitectureError: torchvision is not installed, or has no such classifier.
    """
    models = _models(name)
    module: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **arguments)
    return module


def input_spec(name: str) -> InputSpec:
    """What the transforms of torchvision's default weights do.

    Raises:
        UnknownArchitectureError: as ``build``.
    """
    transforms = _models(name).get_model_weights(name).DEFAULT.transforms()
    filter_name = _FILTERS.get(transforms.interpolation.value, "bilinear")
    mean, std = (tuple(255.0 * value for value in values) for values in (transforms.mean, transforms.std))
    return rgb_input(transforms.crop_size[0], Resize("shorter_side", transforms.resize_size[0], filter_name), mean, std)


def _models(name: str) -> ModuleType:
    try:
        models = importlib.import_module("torchvision.models")
    except ImportError as error:
        message = f"torchvision:{name} needs the torchvision library: pip install torchvision"
        raise UnknownArchitectureError(message) from error
    known = models.list_models(module=models)
    if name not in known:
        raise UnknownArchitectureError(f"torchvision has no classifier {name!r}{suggestion(name, known)}")
    return models
