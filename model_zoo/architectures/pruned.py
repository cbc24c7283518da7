"""``pruned:NAME``: the network NAME with fewer channels, so that a pruned network is a bundle like any other.

The argument ``layers`` says how wide each convolution, linear layer and batch norm is, in the
order of registration: ``28-48`` has 28 channels in and 48 out, ``48`` as many in as out. The
last convolution or linear layer gives the logits: only its inputs are said, its outputs are
the classes. No layer may be wider than NAME's own, so that a stranger's text asks for no more
memory than the name alone does, and the widths must fit together. A grouped convolution
is as wide as NAME's.
"""

import re

import torch
from torch import Tensor, nn

from model_zoo.architectures import ARCHITECTURES, PRUNED, Argument
from model_zoo.errors import UnknownArchitectureError
from model_zoo.spec import InputSpec

# As long as an argument in a manifest may be.
LONGEST = 2000

BatchNorm = nn.modules.batchnorm._BatchNorm
Layer = nn.Conv2d | nn.Linear | BatchNorm

_WIDTHS = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
_SHOWN = 20


def build(name: str, num_classes: int, **arguments: Argument) -> nn.Module:
    """An untrained network of the widths that are said.

    Args:
        name: as in ``build``, but no ensemble and not pruned itself.
        arguments: ``layers``, and NAME's own.
    Raises:
        UnknownArchitectureError: no such network, or ``layers`` does not describe one that is narrower than it.
    """
    from model_zoo.architectures import build as build_any

    said = arguments.pop("layers", None)
    spec = input_spec(name)
    if not isinstance(said, str):
        raise UnknownArchitectureError(f"{PRUNED}{name} needs the argument layers, the widths of its layers as text")
    with torch.device("meta"):
        shape = build_any(name, num_classes, **arguments)
        _apply(shape, said)
        _require_fit(shape, name, spec)
    module = build_any(name, num_classes, **arguments)
    _apply(module, said)
    if name in ARCHITECTURES:
        from model_zoo.architectures.initial_weights import initialise

        return initialise(module)
    return module


def input_spec(name: str) -> InputSpec:
    """NAME's own.

    Raises:
        UnknownArchitectureError: no such network, an ensemble, or one that is pruned itself.
    """
    from model_zoo.architectures import input_spec as spec_of_any

    if name.startswith((PRUNED, "ensemble:")):
        raise UnknownArchitectureError(f"{PRUNED}{name}: only a single network that is whole can be named here")
    return spec_of_any(name)


def sized_layers(module: nn.Module) -> dict[str, Layer]:
    """The layers that have widths, by name, in the order of registration."""
    return {name: part for name, part in module.named_modules() if isinstance(part, Layer)}


def widths(layer: Layer) -> tuple[int, int]:
    """How many channels come in and go out."""
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels, layer.out_channels
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.num_features, layer.num_features


def describe(module: nn.Module) -> str:
    """The argument ``layers`` for a network of these widths.

    Raises:
        UnknownArchitectureError: it has more layers than an argument can name, or none.
    """
    layers = sized_layers(module)
    last = _last(layers)
    said = []
    for name, layer in layers.items():
        inputs, outputs = widths(layer)
        said.append(str(inputs) if name == last or inputs == outputs else f"{inputs}-{outputs}")
    text = " ".join(said)
    if len(text) > LONGEST:
        raise UnknownArchitectureError(f"{type(module).__name__} has more layers than {LONGEST} characters can name")
    return text


def is_depthwise(layer: Layer) -> bool:
    """Whether each of a convolution's channels is worked on alone."""
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels


def narrow(layer: Layer, inputs: Tensor, outputs: Tensor) -> None:
    """Keep some channels, in place.

    Args:
        layer: no grouped convolution, unless it is depthwise.
        inputs: int64, which ones; not looked at where a batch norm's or a depthwise convolution's ``outputs`` say it.
        outputs: likewise.
    """
    device = next((one.device for one in (*layer.parameters(), *layer.buffers())), None)
    inputs, outputs = inputs.to(device), outputs.to(device)
    if isinstance(layer, BatchNorm):
        _narrow_norm(layer, outputs)
        return
    depthwise = is_depthwise(layer)
    kept = layer.weight.detach()[outputs]
    layer.weight = _like(layer.weight, kept if depthwise else kept[:, inputs])
    if layer.bias is not None:
        layer.bias = _like(layer.bias, layer.bias.detach()[outputs])
    if isinstance(layer, nn.Linear):
        layer.in_features, layer.out_features = len(inputs), len(outputs)
    else:
        layer.in_channels, layer.out_channels = len(outputs if depthwise else inputs), len(outputs)
        layer.groups = len(outputs) if depthwise else layer.groups


def _narrow_norm(norm: BatchNorm, kept: Tensor) -> None:
    if norm.affine:
        norm.weight = _like(norm.weight, norm.weight.detach()[kept])
        norm.bias = _like(norm.bias, norm.bias.detach()[kept])
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]
    norm.num_features = len(kept)


def _like(old: Tensor, new: Tensor) -> nn.Parameter:
    return nn.Parameter(new.contiguous(), requires_grad=old.requires_grad)


def _last(layers: dict[str, Layer]) -> str:
    """The name of the layer that gives the logits."""
    found = [name for name, layer in layers.items() if not isinstance(layer, BatchNorm)]
    if not found:
        raise UnknownArchitectureError("the network has no convolution and no linear layer, so it can't be narrower")
    return found[-1]


def _apply(module: nn.Module, said: str) -> None:
    """Narrow every layer to what ``said`` says, keeping its first channels."""
    layers = sized_layers(module)
    last = _last(layers)
    tokens = said.split(" ") if len(said) <= LONGEST else []
    if len(tokens) != len(layers):
        raise UnknownArchitectureError(
            f"layers must name {len(layers)} layers of {type(module).__name__}, with a space between, "
            f"in at most {LONGEST} characters; it has {len(said)} and names {said.count(' ') + 1}"
        )
    for token, (name, layer) in zip(tokens, layers.items(), strict=True):
        inputs, outputs = _read(token, name, layer, is_last=name == last)
        if (inputs, outputs) != widths(layer):
            narrow(layer, torch.arange(inputs), torch.arange(outputs))


def _read(token: str, name: str, layer: Layer, *, is_last: bool) -> tuple[int, int]:
    """One layer's widths, checked."""
    most_in, most_out = widths(layer)
    found = _WIDTHS.fullmatch(token)
    shown = f"layers says {token[:_SHOWN]!r} of {name}"
    if found is None or (is_last and found[2]):
        wanted = "its inputs alone, such as 48" if is_last else "widths such as 28-48, or 48"
        raise UnknownArchitectureError(f"{shown}; write {wanted}")
    inputs = int(found[1])
    outputs = most_out if is_last else int(found[2] or found[1])
    if not (1 <= inputs <= most_in and 1 <= outputs <= most_out):
        raise UnknownArchitectureError(f"{shown}; unpruned it is {most_in}-{most_out}, and a layer only gets narrower")
    one_width = isinstance(layer, BatchNorm) or is_depthwise(layer)
    if one_width and inputs != outputs:
        raise UnknownArchitectureError(f"{shown}; as many channels come in as go out")
    if isinstance(layer, nn.Conv2d) and layer.groups > 1 and not one_width and (inputs, outputs) != (most_in, most_out):
        raise UnknownArchitectureError(f"{shown}; it is a grouped convolution and stays {most_in}-{most_out}")
    return inputs, outputs


def _require_fit(module: nn.Module, name: str, spec: InputSpec) -> None:
    """Run a blank picture through the shapes alone."""
    try:
        module.eval()(torch.empty(2, spec.channels, spec.height, spec.width))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise UnknownArchitectureError(f"{PRUNED}{name}: the widths of layers do not fit together: {reason}") from error
