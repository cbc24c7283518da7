"""Which tensors stay in float, when some layers do.

A tensor is made by one step and used by others; operators without weights (a sum, a pooling, a clamp) pass it
on in the form in which they get it. So tensors that such operators join are a family of one form: float where
every layer that makes or uses one of them is in float, 8 bits otherwise. The pixels are bytes, and so is their family.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from optimize.passes.float64_operators import WEIGHTED
from optimize.passes.float_graph import FloatGraph


@dataclass(slots=True)
class Family:
    """``tensors`` of one form, and the outputs of the ``layers`` that make or use them."""

    tensors: set[str] = field(default_factory=set)
    layers: set[str] = field(default_factory=set)


def families(graph: FloatGraph) -> list[Family]:
    """All but that of the pixels, in the order of the graph."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while above.setdefault(name, name) != name:
            name = above[name]
        return name

    for step in graph.steps:
        if step.op not in WEIGHTED:
            for name in step.sources:
                above[root(name)] = root(step.output)
    found: dict[str, Family] = {}
    for step in graph.steps:
        found.setdefault(root(step.output), Family()).tensors.add(step.output)
        if step.op in WEIGHTED:
            for name in (step.output, *step.sources):
                found.setdefault(root(name), Family()).layers.add(step.output)
    found.pop(root(graph.input.first), None)
    return list(found.values())


def tensors_in_float(graph: FloatGraph, float_steps: Collection[str]) -> set[str]:
    """Tensors that only layers in float touch.

    Args:
        graph: all of it.
        float_steps: outputs of the layers in float.
    """
    return {name for family in families(graph) if family.layers.issubset(float_steps) for name in family.tensors}
