"""The networks Quickeye knows, by name; torch is imported only when one is built.

Adding one: a file in this folder, a line in ``ARCHITECTURES``, and, where the
input isn't ImageNet's usual, a line in ``inputs.INPUTS``. State-dict names
follow the names in which weights are published, torchvision's or timm's. A block
with a skip names in ``branch_end`` the child that gives what the skip is added to
(and in ``has_skip`` whether it has one): training drops branches there.

``timm:NAME`` and ``torchvision:NAME`` reach into those libraries, where installed;
``ensemble:KIND`` is made of several networks, ``pruned:NAME`` is one with fewer channels.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from model_zoo.architectures.inputs import IMAGENET_INPUT, INPUTS
from model_zoo.errors import UnknownArchitectureError
from model_zoo.spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

Argument = int | float | str | bool

_HERE = "model_zoo.architectures"

ARCHITECTURES: dict[str, str] = {
    "efficientnet_lite0": f"{_HERE}.efficientnet_lite:efficientnet_lite0",
    "efficientnet_lite1": f"{_HERE}.efficientnet_lite:efficientnet_lite1",
    "efficientnet_lite2": f"{_HERE}.efficientnet_lite:efficientnet_lite2",
    "efficientnet_lite3": f"{_HERE}.efficientnet_lite:efficientnet_lite3",
    "efficientnet_lite4": f"{_HERE}.efficientnet_lite:efficientnet_lite4",
    "efficientnet_lite0_short": f"{_HERE}.efficientnet_lite:efficientnet_lite0_short",
    "mobilenet_v2": f"{_HERE}.mobilenet_v2:mobilenet_v2",
    "mobilenet_v3_small": f"{_HERE}.mobilenet_v3:mobilenet_v3_small",
    "mobilenet_v3_large": f"{_HERE}.mobilenet_v3:mobilenet_v3_large",
    "resnet18": f"{_HERE}.resnet:resnet18",
    "resnet34": f"{_HERE}.resnet:resnet34",
    "resnet50": f"{_HERE}.resnet:resnet50",
    "seresnet50": f"{_HERE}.resnet:seresnet50",
    "squeezenet1_1": f"{_HERE}.squeezenet:squeezenet1_1",
    "densenet121": f"{_HERE}.densenet:densenet121",
    "shufflenet_v2_x0_5": f"{_HERE}.shufflenet_v2:shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0": f"{_HERE}.shufflenet_v2:shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5": f"{_HERE}.shufflenet_v2:shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0": f"{_HERE}.shufflenet_v2:shufflenet_v2_x2_0",
    "grey28": f"{_HERE}.grey28:grey28",
    "grey28_small": f"{_HERE}.grey28:grey28_small",
    "grey28_wide": f"{_HERE}.grey28:grey28_wide",
}

# Begins the name of a network that was pruned.
PRUNED = "pruned:"

# Prefix of a name → the module that reaches into that library.
SOURCES: dict[str, str] = {
    "timm": f"{_HERE}.from_timm",
    "torchvision": f"{_HERE}.from_torchvision",
    "ensemble": f"{_HERE}.from_members",
    "pruned": f"{_HERE}.pruned",
}


def build(name: str, num_classes: int = 1000, **arguments: Argument) -> nn.Module:
    """Make an untrained network; ``torch.manual_seed`` makes its weights repeatable.

    Args:
        name: an entry of ``ARCHITECTURES``, ``timm:NAME`` or ``torchvision:NAME``.
        num_classes: length of the logits.
        arguments: the entry's own, such as ``dropout``.
    Raises:
        UnknownArchitectureError: no such entry or argument, or the library is not installed.
    """
    source, _, foreign = name.partition(":")
    if foreign and source in SOURCES:
        module: nn.Module = importlib.import_module(SOURCES[source]).build(foreign, num_classes, **arguments)
        return module
    builder = _builder(name)
    from model_zoo.architectures.initial_weights import initialise

    try:
        inspect.signature(builder).bind(num_classes=num_classes, **arguments)
    except TypeError as error:
        raise UnknownArchitectureError(f"{name!r} does not take these arguments: {error}") from error
    return initialise(builder(num_classes=num_classes, **arguments))


def input_spec(name: str) -> InputSpec:
    """The input that the published weights of ``name`` expect.

    Raises:
        UnknownArchitectureError: no such entry, or the library is not installed.
    """
    source, _, foreign = name.partition(":")
    if foreign and source in SOURCES:
        spec: InputSpec = importlib.import_module(SOURCES[source]).input_spec(foreign)
        return spec
    _check_known(name)
    return INPUTS.get(name, IMAGENET_INPUT)


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to add to "there is no NAME": the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _builder(name: str) -> Callable[..., nn.Module]:
    _check_known(name)
    module, _, attribute = ARCHITECTURES[name].partition(":")
    builder: Callable[..., nn.Module] = getattr(importlib.import_module(module), attribute)
    return builder


def _check_known(name: str) -> None:
    if name in ARCHITECTURES:
        return
    hint = suggestion(name, ARCHITECTURES) or f"; there are: {', '.join(ARCHITECTURES)}, timm:NAME, torchvision:NAME"
    raise UnknownArchitectureError(f"no architecture is named {name!r}{hint}")
