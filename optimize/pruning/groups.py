"""Which channels must go together.

torch-pruning traces the network's gradient and follows each channel through sums, products and
concatenations to every layer that has it. What it finds becomes ``ChannelGroup``s here, and all
that it can't follow is refused in words: channels that are shuffled (ShuffleNet), grouped
convolutions, layers whose widths ``pruned:NAME`` can't say.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model_zoo.architectures.pruned import Layer, is_depthwise, sized_layers, widths
from optimize.choice import nearest
from optimize.errors import PassError, RecipeError, libraries_for
from optimize.training.network.head import head

# What torch-pruning raises about networks that it does not understand.
_TRACE_ERRORS = (ArithmeticError, LookupError, ValueError, AttributeError, TypeError, AssertionError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Part:
    """One side of a layer, as far as it has the channels of a group.

    Attributes:
        name: of the layer.
        outputs: its outputs are meant, else its inputs; a batch norm's and a depthwise convolution's are outputs.
        positions: int64 (k,), channels of the layer.
        channels: int64 (k,), which channels of the group these are.
    """

    name: str
    layer: Layer
    outputs: bool
    positions: Tensor
    channels: Tensor


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels 0 to ``channels`` − 1, each of which goes everywhere or nowhere.

    Attributes:
        name: of the first layer that gives them.
    """

    name: str
    channels: int
    parts: tuple[Part, ...]


def channel_groups(module: nn.Module, example: Tensor, keep: Sequence[str] = ()) -> list[ChannelGroup]:
    """The groups that may lose channels, in the order of their layers.

    Args:
        module: in evaluation mode, every parameter with a gradient; not changed.
        example: one normalised picture, (1, C, H, W).
        keep: names of layers or blocks whose outputs all stay; those of the head stay anyway.
    Raises:
        RecipeError: ``keep`` names what is not there.
        PassError: the network can't be pruned.
    """
    layers = sized_layers(module)
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1 and not is_depthwise(layer):
            raise PassError(f"{_called(module)} can't be pruned: {name} is a grouped convolution")
    staying = {head(module).name, *_named(module, keep, layers)}
    order = {name: number for number, name in enumerate(layers)}
    names = {layer: name for name, layer in layers.items()}
    found = [_group(module, parts, names, order) for parts in _traced(module, example)]
    loose = [one for one in found if _is_read(one) and not _gives(one, staying)]
    return sorted(loose, key=lambda one: order[one.name])


def _is_read(group: ChannelGroup) -> bool:
    """What no layer reads is the network's answer, wherever the layer that gives it is registered."""
    return any(not part.outputs for part in group.parts)


def _gives(group: ChannelGroup, names: set[str]) -> bool:
    return any(part.outputs and part.name in names for part in group.parts)


def _named(module: nn.Module, keep: Sequence[str], layers: dict[str, Layer]) -> Iterator[str]:
    for wanted in keep:
        inside = [name for name in layers if f"{name}.".startswith(f"{wanted}.")]
        if not inside:
            raise RecipeError(f"keep: {_called(module)} has no layer named {wanted!r}{nearest(wanted, layers)[:300]}")
        yield from inside


def _traced(module: nn.Module, example: Tensor) -> list[list[tuple[Any, bool, list[int], list[int]]]]:
    """For each group: what has its channels, whether as outputs, where, and which of the group's they are."""
    with libraries_for("pruning"):
        import torch_pruning
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # of parameters outside layers; ``_group`` refuses them
            graph = torch_pruning.DependencyGraph().build_dependency(module, example, verbose=False)
            groups = list(graph.get_all_groups(root_module_types=(nn.Conv2d, nn.Linear)))
    except _TRACE_ERRORS as error:
        raise PassError(
            f"{_called(module)} can't be pruned: what it does to its channels can't be followed, as when it shuffles "
            f"or splits them ({type(error).__name__}: {str(error)[:100]})"
        ) from error
    return [
        [
            (item.dep.target.module, graph.is_out_channel_pruning_fn(item.dep.handler), item.idxs, item.root_idxs)
            for item in group
        ]
        for group in groups
    ]


def _group(
    module: nn.Module,
    found: list[tuple[Any, bool, list[int], list[int]]],
    names: dict[Layer, str],
    order: dict[str, int],
) -> ChannelGroup:
    parts = []
    for part, outputs, positions, channels in found:
        if part in names:
            parts.append(Part(names[part], part, outputs, torch.tensor(positions), torch.tensor(channels)))
        elif isinstance(part, nn.Parameter) or next(part.parameters(), None) is not None:
            kind = "a parameter outside any layer" if isinstance(part, nn.Parameter) else type(part).__name__
            raise PassError(
                f"{_called(module)} can't be pruned: its channels pass {kind}, and only convolutions, "
                "linear layers and batch norms can be cut"
            )
    first = min((part for part in parts if part.outputs), key=lambda part: order[part.name])
    return ChannelGroup(first.name, widths(found[0][0])[1], tuple(parts))


def _called(module: nn.Module) -> str:
    return type(module).__name__
