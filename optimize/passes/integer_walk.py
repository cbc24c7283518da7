"""Walks a float graph from the pixels on, and settles each tensor's codes on the way.

Every layer sees what the layers before it, already in 8 bits, really give, so
that it can make up for their errors too. Codes and their sums are whole
numbers in float64, scales are applied once per value: two machines get the
same bits (see ``float64_operators``).

Memory does not grow with the pictures (see ``streamed``): what later layers wait for
lies on disk, and a layer's values are computed again for each look that its range takes.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from optimize.errors import PassError
from optimize.passes.activation_range import Range, RangeMethod, activation_range
from optimize.passes.coded import AS_FLOAT, Coded, Scale, encode, scale_over
from optimize.passes.float64_operators import OPERATORS, SAME_CODES, WEIGHTED, require_plain_gemm
from optimize.passes.float_graph import FloatGraph, Step
from optimize.passes.float_tensors import tensors_in_float
from optimize.passes.layer_rounding import Layer, Use, as_layer, float_layer, round_layer
from optimize.passes.pictures import Pictures
from optimize.passes.pixel_input import PixelInput
from optimize.passes.plain_form import layer_name
from optimize.passes.shared_weights import side_by_side
from optimize.passes.streamed import CHUNK, Codes, Values

Make = Callable[[], Iterator[Tensor]]


class IntegerWalk:
    """One calibration. After ``run``: ``scales`` by tensor in 8 bits, ``layers`` by the output of their step."""

    def __init__(
        self,
        graph: FloatGraph,
        method: RangeMethod,
        percentile: float,
        *,
        pair_safe: bool,
        float_steps: Collection[str] = (),
    ) -> None:
        """
        Args:
            float_steps: outputs of the steps whose weights stay in float; what only they touch stays in float as well.
        """
        self.scales: dict[str, Scale] = {}
        self.layers: dict[str, Layer] = {}
        self._graph = graph
        self._method: RangeMethod = method
        self._percentile = percentile
        self._pair_safe = pair_safe
        self._float_steps = float_steps
        self._float_tensors = tensors_in_float(graph, float_steps)
        self._tensors: dict[str, Coded] = {}

    def run(self, pictures: Pictures) -> None:
        """Walk all steps.

        Args:
            pictures: uint8 (N, height, width, channels); read once.
        Raises:
            PassError: an operator that the pass does not know.
            OSError: the disk for temporary files is full.
        """
        start = self._graph.input
        self._keep(start.first, _pixels(pictures, start), Scale(start.scale, start.zero))
        order = side_by_side(self._graph.steps, start.first)
        last_use = {name: step.output for steps in order for step in steps for name in step.sources}
        try:
            with torch.no_grad():
                for steps in order:
                    for step, make in zip(steps, self._makes(steps), strict=True):
                        self._take(step, make)
                        for name in step.sources:
                            if last_use[name] == step.output and name in self._tensors:
                                self._tensors.pop(name).codes.close()
        finally:
            for left in self._tensors.values():
                left.codes.close()

    def _makes(self, steps: Sequence[Step]) -> list[Make]:
        """What computes each step's values, without the clamp."""
        if steps[0].op in WEIGHTED:
            return self._weighted(steps)
        if steps[0].op in OPERATORS or steps[0].factor is not None:
            return [self._plain(steps[0])]
        known = ", ".join(sorted({*WEIGHTED, *OPERATORS}))
        raise PassError(
            f"node '{layer_name(steps[0].node)}': quantize_int8 does not know {steps[0].op} (it knows {known})"
        )

    def _take(self, step: Step, make: Make) -> None:
        if step.output in self._graph.outputs:
            return
        scales = [self._tensor(name).scale for name in step.sources]
        if step.op in SAME_CODES or step.factor is not None:
            before = scales[0]
            size = before.size if step.factor is None else float(np.float32(before.size * step.factor))
            after = replace(before, size=size)
            self._keep(step.output, ((part + before.zero).to(before.dtype) for part in make()), after)
            return
        values = Values(lambda: (part.clamp(step.low, step.high) for part in make()))
        if step.output in self._float_tensors:
            scale = scale_over(*activation_range(values, "min_max", self._percentile), AS_FLOAT)
        else:
            scale = _widest(scales, step) if step.op == "Concat" else scale_over(*self._range(step, values))
        self._keep(step.output, (encode(part, scale) for part in values), scale)

    def _range(self, step: Step, values: Values) -> Range:
        """A tensor with two bounds has its range from them."""
        bounded = np.isfinite(step.low) and np.isfinite(step.high)
        return activation_range(values, "min_max" if bounded else self._method, self._percentile)

    def _tensor(self, name: str) -> Coded:
        if name not in self._tensors:
            raise PassError(
                f"quantize_int8 has no codes for '{name}': it is an output of the model that a layer uses too"
            )
        return self._tensors[name]

    def _keep(self, name: str, codes: Iterator[Tensor], scale: Scale) -> None:
        self._tensors[name] = Coded(Codes(codes), scale)
        if name not in self._float_tensors:
            self.scales[name] = scale

    def _plain(self, step: Step) -> Make:
        if step.factor is None and len(step.sources) < len(step.inputs) and step.op in ("Add", "Concat", "Mul"):
            raise PassError(f"node '{layer_name(step.node)}' ({step.op}) takes a constant where pictures belong")
        sources = [self._tensor(name) for name in step.sources]
        same = step.op in SAME_CODES or step.factor is not None

        def make() -> Iterator[Tensor]:
            for parts in zip(*(source.chunks() for source in sources), strict=True):
                real = [part if same else part * one.scale.size for part, one in zip(parts, sources, strict=True)]
                yield real[0] if step.factor is not None else OPERATORS[step.op](real, step.attributes)

        return make

    def _weighted(self, steps: Sequence[Step]) -> list[Make]:
        name = steps[0].inputs[1]
        if any(given not in self._graph.constants for step in steps for given in step.inputs[1:] if given):
            raise PassError(
                f"node '{layer_name(steps[0].node)}' ({steps[0].op}): its weights are computed, not constant"
            )
        for step in steps:
            if step.op == "Gemm":  # the last one's values are never computed here
                require_plain_gemm(step.attributes)
        weights = torch.from_numpy(self._graph.constants[name].astype(np.float64))
        uses = [Use(step, self._tensor(step.sources[0]), self._bias(step, len(weights))) for step in steps]
        if any(step.output in self._float_steps for step in steps):
            whole = [float_layer(use, weights) for use in uses]
        else:
            whole = round_layer(uses, weights, pair_safe=self._pair_safe)
            for step, one in zip(steps, whole, strict=True):
                taken = any(layer.name == name for layer in self.layers.values())
                self.layers[step.output] = as_layer(f"{step.output}/{name}" if taken else name, one)
        return [
            lambda one=one, use=use: one.outputs(use.step, use.source)  # type: ignore[misc]
            for one, use in zip(whole, uses, strict=True)
        ]

    def _bias(self, step: Step, outputs: int) -> Tensor:
        if len(step.inputs) < 3 or not step.inputs[2]:
            return torch.zeros(outputs, dtype=torch.float64)
        return torch.from_numpy(self._graph.constants[step.inputs[2]].astype(np.float64))


def _widest(scales: Sequence[Scale], step: Step) -> Scale:
    """One that holds all of these; the widest of them itself where it does, so that its codes stay as they are."""
    low = max(min(one.low for one in scales), min(step.low, 0.0))
    high = min(max(one.high for one in scales), max(step.high, 0.0))
    same = next((one for one in scales if one.low == low and one.high == high), None)
    return same or (scale_over(low, high) if high > low else scale_over(0.0, 1.0))


def _pixels(pictures: Pictures, start: PixelInput) -> Iterator[Tensor]:
    for place in range(0, len(pictures), CHUNK):
        part = torch.from_numpy(np.ascontiguousarray(pictures[place : place + CHUNK])).permute(0, 3, 1, 2)
        if start.inside is not None:
            part = torch.cat([part, torch.full_like(part[:, :1], start.inside)], 1)
        yield part
