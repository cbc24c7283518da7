"""Mixed precision: which layers to leave in float, by what each is measured to lose in 8 bits.

In the float model, one thing at a time is rounded as the 8-bit model has it, a layer's weights or a family of tensors
(``float_tensors``), and a few pictures are run: its loss is how far the first output moves, squared. Errors of many
roundings are as good as independent, so losses add up. What a set of layers gains in float is the losses of its
weights, and of the tensors that only it touches. A layer alone, or all that touch a tensor: what gains most for
its multiply-adds is taken while the allowance lasts, as far as it is a hundredth of all loss.

Why not the other way round, one layer in float and the others in 8 bits: every change there moves the rounding of all
that follows, and on EfficientNet-Lite0 that alone makes a layer look up to a fifth better or worse.

What it does not do: multiply-adds stand for time, but what a layer costs in float is the engine's own. The measurement
is in float32, whose last digits depend on the CPU: a recipe that must give the same bytes everywhere names its layers.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import onnx

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.passes.float64_operators import WEIGHTED
from optimize.passes.float_graph import FloatGraph, Step
from optimize.passes.float_tensors import families
from optimize.passes.integer_walk import IntegerWalk
from optimize.passes.output_moments import multiply_adds
from optimize.passes.pictures import Pictures
from optimize.passes.pixel_input import Constants
from optimize.passes.plain_form import layer_name
from optimize.passes.qdq import write_qdq
from optimize.passes.shared_weights import side_by_side

PROBES = 16
LEAST_GAIN = 0.01

Layers = frozenset[str]


def choose_float_steps(
    model: bytes, graph: FloatGraph, walk: IntegerWalk, pictures: Pictures, share: float
) -> set[str]:
    """Outputs of the layers to leave in float, besides those that ``walk`` left so.

    Args:
        model: the float model that ``graph`` was read from.
        walk: what it settled in 8 bits.
        pictures: uint8 (N, height, width, channels); some of them are run.
        share: of the multiply-adds, how many may be in float, those of ``walk`` not counted.
    Raises:
        PassError: ONNX Runtime does not take the model, or layers of it share their weights.
    """
    shared = next((steps for steps in side_by_side(graph.steps, graph.input.first) if len(steps) > 1), None)
    if shared is not None:
        names = ", ".join(layer_name(step.node) for step in shared)
        raise PassError(f"float_share: {names} have the same weights; name what is to stay in float in float_layers")
    work = _work(graph, pictures)
    allowance = share * sum(work.values())
    losses = _losses(model, graph, walk, pictures)
    least = LEAST_GAIN * sum(losses.values())
    candidates = sorted({frozenset([step]) for step in walk.layers} | losses.keys(), key=sorted)
    chosen: Layers = frozenset()
    while True:
        best, rate = chosen, 0.0
        for one in candidates:
            both = chosen | one
            gain, cost = (_sum(losses, both) - _sum(losses, chosen), sum(work[name] for name in both - chosen))
            if gain >= least and gain > 0 and sum(work[name] for name in both) <= allowance:
                best, rate = max((best, rate), (both, gain / max(cost, 1.0)), key=lambda found: found[1])
        if best == chosen:
            return set(chosen)
        chosen = best


def _sum(losses: dict[Layers, float], layers: Layers) -> float:
    return sum(loss for needed, loss in losses.items() if needed <= layers)


def _work(graph: FloatGraph, pictures: Pictures) -> dict[str, float]:
    """Multiply-adds of one picture, by the output of the layer's step."""
    by_node = multiply_adds(graph.model, pictures)
    return {step.output: by_node.get(str(step.node.output[0]), 0.0) for step in graph.steps}


def _losses(model: bytes, graph: FloatGraph, walk: IntegerWalk, pictures: Pictures) -> dict[Layers, float]:
    """What is lost by 8 bits, by the layers that must be in float to lose it no more."""
    places = np.linspace(0, len(pictures) - 1, min(PROBES, len(pictures))).astype(int)
    probes = np.concatenate([pictures[place : place + 1] for place in places.tolist()])
    output = graph.outputs[0]
    wanted = open_model(model, "reference", output=output)(probes).astype(np.float64)

    def loss(layers: Collection[str], tensors: Collection[str]) -> float:
        got = open_model(_rounded(graph, walk, layers, tensors), "reference", output=output)(probes)
        return float(np.square(got - wanted).mean())

    return _gathered(graph, walk, loss)


def _gathered(
    graph: FloatGraph, walk: IntegerWalk, loss: Callable[[Collection[str], Collection[str]], float]
) -> dict[Layers, float]:
    found = {frozenset([step]): loss([step], ()) for step in walk.layers}
    for family in families(graph):
        needed, tensors = frozenset(family.layers & walk.layers.keys()), family.tensors & walk.scales.keys()
        if needed and tensors:
            found[needed] = found.get(needed, 0.0) + loss((), tensors)
    return found


def _rounded(graph: FloatGraph, walk: IntegerWalk, layers: Collection[str], tensors: Collection[str]) -> bytes:
    """The float model with the weights of these layers, and these tensors, as they are in 8 bits."""
    constants, steps = dict(graph.constants), list(graph.steps)
    for place, step in enumerate(steps):
        if step.op in WEIGHTED and step.output in layers:
            steps[place], own = _with_real_weights(step, walk)
            constants.update(own)
    kept = {graph.input.first, *tensors}
    scales = {name: scale for name, scale in walk.scales.items() if name in kept}
    data: bytes = write_qdq(replace(graph, steps=tuple(steps), constants=constants), scales, {}).SerializeToString()
    return data


def _with_real_weights(step: Step, walk: IntegerWalk) -> tuple[Step, Constants]:
    """The step with weights and bias of its own: it may have had no bias, or one that others use too."""
    layer = walk.layers[step.output]
    scales = layer.scales.astype(np.float64)
    weights = layer.codes * scales.reshape(-1, *[1] * (layer.codes.ndim - 1))
    bias = layer.bias * (scales * walk.scales[step.sources[0]].size)
    own = {f"{step.output}/rounded": weights, f"{step.output}/rounded_bias": bias}
    node = onnx.NodeProto()
    node.CopyFrom(step.node)
    del node.input[1:]
    node.input.extend(own)
    return replace(step, node=node), {name: value.astype(np.float32) for name, value in own.items()}
