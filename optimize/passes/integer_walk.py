"""Walks a float graph from the pixels on, and settles each tensor's codes on the way.

Every layer sees what the layers before it, already in 8 bits, really give, so
that it can make up for their errors too. Codes and their sums are whole
numbers in float64, scales are applied once per value: two machines get the
same bits (see ``float64_operators``).

Memory does not grow with the pictures (see ``streamed``): what later layers wait for
lies on disk, and a layer's values are computed again for each look that its range takes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.errors import PassError
from optimize.passes.activation_range import RangeMethod, activation_range
from optimize.passes.float64_operators import OPERATORS, SAME_CODES, WEIGHTED, taps
from optimize.passes.float_graph import FloatGraph, Step
from optimize.passes.streamed import CHUNK, Codes, Pictures, Values
from optimize.passes.weight_rounding import Pairs, round_weights

STATISTICS_SIDE = 8
_BIAS_LIMIT = 2**30


@dataclass(frozen=True, slots=True)
class Scale:
    """``value = (code - zero) * size``; codes are 0 to 255."""

    size: float
    zero: int


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights (O, …) int8 with scales (O,) float32, and bias (O,) int32 in units of input scale × weight scale."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Coded:
    codes: Codes
    scale: Scale

    def chunks(self) -> Iterator[Tensor]:
        """Whole numbers around 0, float64, a few pictures at a time."""
        for part in self.codes:
            yield part.double() - self.scale.zero


class IntegerWalk:
    """One calibration. After ``run``: ``scales`` by tensor, ``layers`` by the output of their step."""

    def __init__(self, graph: FloatGraph, method: RangeMethod, percentile: float, *, pair_safe: bool) -> None:
        self.scales: dict[str, Scale] = {}
        self.layers: dict[str, Layer] = {}
        self._graph = graph
        self._method: RangeMethod = method
        self._percentile = percentile
        self._pair_safe = pair_safe
        self._tensors: dict[str, _Coded] = {}

    def run(self, pictures: Pictures) -> None:
        """Walk all steps.

        Args:
            pictures: uint8 (N, height, width, channels); read once.
        Raises:
            PassError: an operator that the pass does not know.
            OSError: the disk for temporary files is full.
        """
        self._keep(self._graph.first, _pixels(pictures), Scale(self._graph.scale, self._graph.zero))
        last_use = {name: step.output for step in self._graph.steps for name in step.inputs}
        try:
            with torch.no_grad():
                for step in self._graph.steps:
                    self._take(step)
                    for name in step.inputs:
                        if last_use[name] == step.output and name in self._tensors:
                            self._tensors.pop(name).codes.close()
        finally:
            for left in self._tensors.values():
                left.codes.close()

    def _take(self, step: Step) -> None:
        if step.op in WEIGHTED:
            make = self._weighted(step)
        elif step.op in OPERATORS:
            make = self._plain(step)
        else:
            known = ", ".join(sorted({*WEIGHTED, *OPERATORS}))
            raise PassError(f"node '{step.node.name}': quantize_int8 does not know {step.op} (it knows {known})")
        if step.output in self._graph.outputs:
            return
        if step.op in SAME_CODES:
            scale = self._tensor(step.inputs[0]).scale
            self._keep(step.output, ((part + scale.zero).to(torch.uint8) for part in make()), scale)
        else:
            self._settle(step, Values(lambda: (part.clamp(step.low, step.high) for part in make())))

    def _tensor(self, name: str) -> _Coded:
        if name not in self._tensors:
            raise PassError(f"quantize_int8 has no codes for '{name}': a layer takes a constant where pictures belong")
        return self._tensors[name]

    def _keep(self, name: str, codes: Iterator[Tensor], scale: Scale) -> None:
        self._tensors[name] = _Coded(Codes(codes), scale)
        self.scales[name] = scale

    def _plain(self, step: Step) -> Callable[[], Iterator[Tensor]]:
        sources = [self._tensor(name) for name in step.inputs]
        same = step.op in SAME_CODES

        def make() -> Iterator[Tensor]:
            for parts in zip(*(source.chunks() for source in sources), strict=True):
                real = [part if same else part * one.scale.size for part, one in zip(parts, sources, strict=True)]
                yield OPERATORS[step.op](real, step.attributes)

        return make

    def _settle(self, step: Step, values: Values) -> None:
        """Choose the range and turn values into codes; a tensor with two bounds has its range from them."""
        bounded = np.isfinite(step.low) and np.isfinite(step.high)
        low, high = activation_range(values, "min_max" if bounded else self._method, self._percentile)
        size = float(np.float32((high - low) / 255))
        scale = Scale(size, round(-low / size))
        self._keep(step.output, (_encode(part, scale) for part in values), scale)

    def _weighted(self, step: Step) -> Callable[[], Iterator[Tensor]]:
        source = self._tensor(step.inputs[0])
        weights = torch.from_numpy(self._graph.constants[step.inputs[1]].astype(np.float64))
        bias = torch.zeros(len(weights), dtype=torch.float64)
        if len(step.inputs) > 2:
            bias = torch.from_numpy(self._graph.constants[step.inputs[2]].astype(np.float64))
        mean, covariance = _moments(step, source, weights)
        groups = len(mean)
        grouped = weights.reshape(groups, len(weights) // groups, -1)
        size = source.scale.size
        floors = (bias.abs() / (_BIAS_LIMIT * size)).clamp(min=1e-12).view(groups, -1)
        pairs = _pairs(weights, groups) if self._pair_safe else "free"
        codes, scales = round_weights(grouped, covariance, floors, pairs)
        lost = ((grouped - codes * scales[..., None]) * mean[:, None]).sum(2)
        units = scales.flatten() * size
        whole_bias = torch.round((bias + lost.flatten()) / units)
        self.layers[step.output] = Layer(
            codes.reshape(weights.shape).to(torch.int8).numpy(),
            scales.flatten().float().numpy(),
            whole_bias.to(torch.int32).numpy(),
        )
        return lambda: self._outputs(step, source, codes.reshape(weights.shape), whole_bias, units)

    def _outputs(self, step: Step, source: _Coded, codes: Tensor, bias: Tensor, units: Tensor) -> Iterator[Tensor]:
        shape = (1, -1, 1, 1) if step.op == "Conv" else (1, -1)
        for part in source.chunks():
            sums = WEIGHTED[step.op](part, codes, step.attributes)
            yield (sums + bias.view(shape)) * units.view(shape)


def _pairs(weights: Tensor, groups: int) -> Pairs:
    """Which weights meet in 16 bits: neighbours in a 1×1 layer, any in a larger kernel, none in a depthwise one."""
    if weights.shape[1] == 1 and groups > 1:
        return "free"
    return "adjacent" if weights[0, 0].numel() == 1 else "any"


def _moments(step: Step, source: _Coded, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (G, K) and covariance (G, K, K) of what each group of outputs sees; sums are whole, thus exact."""
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0
    count = 0
    for part in source.chunks():
        seen = _seen(step, part, weights)
        total = total + seen.sum(2)
        squares = squares + seen @ seen.transpose(1, 2)
        count += seen.shape[2]
    mean = cast("Tensor", total) * (source.scale.size / count)
    second = cast("Tensor", squares) * (source.scale.size**2 / count)
    return mean, second - mean[:, :, None] * mean[:, None]


def _seen(step: Step, part: Tensor, weights: Tensor) -> Tensor:
    """(G, K, places): the inputs of a layer, at some 8 × 8 to 15 × 15 places of each picture."""
    if step.op == "Gemm":
        return part.T[None]
    groups = int(cast("int", step.attributes.get("group", 1)))
    views = list(taps(part, (weights.shape[2], weights.shape[3]), step.attributes))
    stride = [max(1, side // STATISTICS_SIDE) for side in views[0].shape[2:]]
    stack = torch.stack([view[:, :, :: stride[0], :: stride[1]] for view in views], 2)
    return stack.transpose(0, 1).transpose(1, 2).flatten(2).reshape(groups, -1, stack[:, 0, 0].numel())


def _pixels(pictures: Pictures) -> Iterator[Tensor]:
    for start in range(0, len(pictures), CHUNK):
        yield torch.from_numpy(np.ascontiguousarray(pictures[start : start + CHUNK])).permute(0, 3, 1, 2)


def _encode(values: Tensor, scale: Scale) -> Tensor:
    """float32 (n, …) → uint8 codes."""
    return torch.clamp(torch.round(values.double() / scale.size) + scale.zero, 0, 255).to(torch.uint8)
