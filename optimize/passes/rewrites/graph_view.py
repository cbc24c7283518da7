"""A graph as a rewrite looks at it: who makes a tensor, who uses it, its constants, its sizes.

What is added gets a name that is free; nothing is changed that somebody else uses.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from model_zoo.graph_tidy import drop_dead_ends
from optimize.passes.plain_form import attributes_of

Array = NDArray[np.generic]


class GraphView:
    """Of ``model``, as it was when the view was made; ``finish`` writes what was asked for."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.constants: dict[str, Array] = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self.makers: dict[str, onnx.NodeProto] = {name: node for node in graph.node for name in node.output}
        self.outputs = {one.name for one in graph.output}
        self.users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._shapes = {
            one.name: tuple(size.dim_value for size in one.type.tensor_type.shape.dim)
            for one in (*inferred.value_info, *inferred.input, *inferred.output)
        }
        self._model = model
        self._taken = {*self.constants, *self.makers, *self._shapes}
        self._instead: dict[int, list[onnx.NodeProto]] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a tensor, 0 for one that is not known; nothing where none is."""
        return self._shapes.get(name, ())

    def only_user(self, name: str) -> onnx.NodeProto | None:
        """Who uses a tensor, where it is one node, once, and no output of the model."""
        users = self.users[name]
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def codes_of(self, name: str) -> onnx.NodeProto | None:
        """The DequantizeLinear that a tensor comes from, if it does, by constants: one scale, or one for each row."""
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            return None
        known = [self.constants.get(one) for one in maker.input[1:]]
        by_output = attributes_of(maker).get("axis", 1) == 0
        return maker if all(one is not None and (one.size == 1 or by_output) for one in known) else None

    def weights(self, name: str) -> Array | None:
        """A weight's numbers or, of a weight in codes, its codes; None where it is no constant."""
        maker = self.codes_of(name)
        return self.constants.get(name if maker is None else maker.input[0])

    def constant(self, name: str, value: Array) -> str:
        """Add one; its name."""
        free = self.free(name)
        self.constants[free] = value
        self._model.graph.initializer.append(numpy_helper.from_array(value, free))
        return free

    def free(self, name: str) -> str:
        """A name that nothing has yet."""
        while name in self._taken:
            name += "/again"
        self._taken.add(name)
        return name

    def replace(self, node: onnx.NodeProto, nodes: Sequence[onnx.NodeProto]) -> None:
        """Have ``nodes`` in the place of one."""
        self._instead[id(node)] = list(nodes)

    def finish(self) -> None:
        """Write the nodes; what nobody uses any more goes."""
        graph = self._model.graph
        nodes = [made for node in graph.node for made in self._instead.get(id(node), [node])]
        del graph.node[:]
        graph.node.extend(nodes)
        drop_dead_ends(graph)


def like(node: onnx.NodeProto, inputs: Sequence[str], output: str) -> onnx.NodeProto:
    """A node of other inputs and another output, and otherwise as this one."""
    other = made(node.op_type, inputs, output)
    other.attribute.extend(node.attribute)
    return other


def made(op: str, inputs: Sequence[str], output: str, name: str = "", **attributes: int | list[int]) -> onnx.NodeProto:
    """A node, named after its output unless it has a name."""
    node = helper.make_node(op, list(inputs), [output], name or f"{output}/{op}")
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return node
