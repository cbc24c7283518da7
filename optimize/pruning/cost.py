"""Multiply-adds of one picture, as torch counts them, and what they become when layers get narrower.

A convolution's and a linear layer's are proportional to its inputs times its outputs, a
depthwise convolution's to its channels; so the search needs no network to know what a choice costs.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from model_zoo.architectures.pruned import BatchNorm, is_depthwise, sized_layers, widths
from optimize.pruning.groups import ChannelGroup
from optimize.training.network.evaluation_mode import evaluation_mode

# Channels into each layer and out of it.
Widths = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Layer:
    macs: float
    inputs: int
    outputs: int
    depthwise: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-adds of one picture.

    Attributes:
        total: of the network as it is.
    """

    total: float
    _layers: dict[str, _Layer]
    _groups: Sequence[ChannelGroup]
    _widths: Widths
    _one_width: Set[str]

    def after(self, counts: Sequence[float]) -> float:
        """When each group keeps so many of its channels."""
        saved = 0.0
        gone = self._gone(counts)
        for name, layer in self._layers.items():
            kept = 1 - gone.get((name, True), 0.0) / layer.outputs
            if not layer.depthwise:
                kept *= 1 - gone.get((name, False), 0.0) / layer.inputs
            saved += layer.macs * (1 - kept)
        return self.total - saved

    def widths(self, counts: Sequence[int]) -> Widths:
        """Of every layer then."""
        gone = self._gone(counts)
        found = {}
        for name, before in self._widths.items():
            inputs, outputs = (
                size - round(gone.get((name, side), 0.0)) for size, side in zip(before, (False, True), strict=True)
            )
            found[name] = (outputs if name in self._one_width else inputs, outputs)
        return found

    def _gone(self, counts: Sequence[float]) -> dict[tuple[str, bool], float]:
        gone: dict[tuple[str, bool], float] = {}
        for group, count in zip(self._groups, counts, strict=True):
            for part in group.parts:
                side = (part.name, part.outputs)
                gone[side] = gone.get(side, 0.0) + len(part.positions) * (1 - count / group.channels)
        return gone


def cost_of(module: nn.Module, example: Tensor, groups: Sequence[ChannelGroup]) -> Cost:
    """Count once; ``groups`` are those of ``module``."""
    counter = _counted(module, example)
    counts = counter.get_flop_counts()
    layers = {}
    found = sized_layers(module)
    for name, layer in found.items():
        if not isinstance(layer, BatchNorm):
            macs = sum(counts.get(f"{type(module).__name__}.{name}", {}).values()) / 2
            layers[name] = _Layer(macs, *widths(layer), is_depthwise(layer))
    one_width = {name for name, layer in found.items() if isinstance(layer, BatchNorm) or is_depthwise(layer)}
    sizes = {name: widths(layer) for name, layer in found.items()}
    return Cost(counter.get_total_flops() / 2, layers, groups, sizes, one_width)


def multiply_adds(module: nn.Module, example: Tensor) -> float:
    """Of one picture, (1, C, H, W), in evaluation mode."""
    return _counted(module, example).get_total_flops() / 2


def _counted(module: nn.Module, example: Tensor) -> FlopCounterMode:
    counter = FlopCounterMode(display=False)
    with evaluation_mode(module), counter:
        module(example)
    return counter
