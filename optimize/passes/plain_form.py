"""Says the same with fewer operators, before a graph is read: what exporters spell in many ways.

- A batch norm after a layer that nothing else uses joins it. Exporters do that themselves, but not
  where one convolution serves twice; nor can they for a norm that stands alone (DenseNet's): that one
  is a 1×1 depthwise convolution, for which there is an integer kernel; of rows (N, C), one of pictures of one pixel.
- A mean over all places (``ReduceMean``) is a ``GlobalAveragePool``, which has an integer kernel too.
- A ``Split`` is a ``Slice`` for each part, so that every operator has one output.
- A ``Constant`` is an initialiser; ``Identity`` and ``Dropout`` are nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from model_zoo.graph_tidy import drop_dead_ends
from optimize.errors import PassError

Nodes = Iterator[onnx.NodeProto]
Numbers = NDArray[np.float64]
_ROWS, _PICTURES = 2, 4


def plain_form(model: onnx.ModelProto) -> None:
    """Rewrite in place; a graph that is plain already stays as it is.

    Raises:
        PassError: a batch norm of variable parameters, or of other than rows and pictures, or a Split whose parts
            can't be told.
    """
    form = _Form(model)
    nodes = [plain for node in model.graph.node for plain in form.plain(node)]
    if form.changed:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        drop_dead_ends(model.graph)


class _Form:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.changed = False
        self._model = model
        self._outputs = {one.name for one in model.graph.output}
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._makers: dict[str, onnx.NodeProto] = {}
        self._constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        self._same: dict[str, str] = {}
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._rewrites: dict[str, Callable[[onnx.NodeProto], Nodes | None]] = {
            "BatchNormalization": self._batch_norm,
            "Constant": self._constant_node,
            "Dropout": self._nothing,
            "Identity": self._nothing,
            "ReduceMean": self._mean,
            "Split": self._split,
        }

    def plain(self, node: onnx.NodeProto) -> Nodes:
        """The nodes to have instead of this one; to be asked in order."""
        for place, name in enumerate(node.input):
            node.input[place] = self._same.get(name, name)
        rewrite = self._rewrites.get(node.op_type)
        instead = None if rewrite is None else rewrite(node)
        self.changed |= instead is not None
        for one in [node] if instead is None else instead:
            self._makers[one.output[0]] = one
            yield one

    def _constant_node(self, node: onnx.NodeProto) -> Nodes | None:
        value = attributes_of(node).get("value")
        if not isinstance(value, onnx.TensorProto):
            return None
        self._constant(str(node.output[0]), numpy_helper.to_array(value))
        return iter(())

    def _nothing(self, node: onnx.NodeProto) -> Nodes | None:
        if node.output[0] in self._outputs:
            return None
        self._same[node.output[0]] = node.input[0]
        return iter(())

    def _mean(self, node: onnx.NodeProto) -> Nodes | None:
        given = attributes_of(node)
        axes = given.get("axes")
        if axes is None and len(node.input) > 1 and node.input[1] in self._constants:
            axes = self._constants[node.input[1]].tolist()
        if axes is None or sorted(axis % 4 for axis in axes) != [2, 3]:
            return None
        return self._pool(node, keeps=bool(given.get("keepdims", 1)))

    def _pool(self, node: onnx.NodeProto, *, keeps: bool) -> Nodes:
        pooled = node.output[0] if keeps else f"{node.output[0]}/pooled"
        yield helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], node.name)
        if not keeps:
            yield helper.make_node("Flatten", [pooled], [node.output[0]], f"{layer_name(node)}/flatten", axis=1)

    def _batch_norm(self, node: onnx.NodeProto) -> Nodes:
        if any(name not in self._constants for name in node.input[1:5]):
            raise PassError(f"node '{layer_name(node)}': this pass takes a batch norm with constant parameters only")
        gain, shift, mean, variance = (self._constants[name].astype(np.float64) for name in node.input[1:5])
        factor = gain / np.sqrt(variance + float(attributes_of(node).get("epsilon", 1e-5)))
        before = self._makers.get(node.input[0])
        if before is None or not self._joins(before):
            yield from self._norm_alone(node, factor, shift - mean * factor)
        else:
            values = self._constants[before.input[1]].astype(np.float64)
            offset = self._constants[before.input[2]].astype(np.float64) if len(before.input) > 2 else 0.0
            name = f"{before.input[1]}/{node.input[1]}"
            scaled = values * factor.reshape(-1, *[1] * (values.ndim - 1))
            weights = self._constant(name, scaled.astype(np.float32))
            bias = self._constant(f"{name}/bias", (shift + (offset - mean) * factor).astype(np.float32))
            made = onnx.NodeProto()
            made.CopyFrom(before)
            del made.input[1:], made.output[:]
            made.input.extend([weights, bias])
            made.output.append(node.output[0])
            yield made

    def _norm_alone(self, node: onnx.NodeProto, factor: Numbers, shift: Numbers) -> Nodes:
        """A 1×1 depthwise convolution; of rows (N, C) one of pictures of one pixel."""
        name, source, target = str(node.input[1]), str(node.input[0]), str(node.output[0])
        weights = self._constant(f"{name}/factor", factor.astype(np.float32).reshape(-1, 1, 1, 1))
        bias = self._constant(f"{name}/shift", shift.astype(np.float32))
        rank = len(self._sizes(source) or (0,) * _PICTURES)
        if rank not in (_ROWS, _PICTURES):
            raise PassError(
                f"node '{layer_name(node)}': this pass takes a batch norm of (N, C) or (N, C, height, width) only"
            )
        if rank == _ROWS:
            shape = self._constant(f"{target}/as_pixel", np.array([0, -1, 1, 1], np.int64))
            yield helper.make_node("Reshape", [source, shape], [f"{target}/pixel"], f"{layer_name(node)}/pixel")
            source, target = f"{target}/pixel", f"{target}/normed"
        made = helper.make_node("Conv", [source, weights, bias], [target], node.name)
        made.attribute.extend([helper.make_attribute("group", len(factor))])
        yield made
        if rank == _ROWS:
            yield helper.make_node("Flatten", [target], [node.output[0]], f"{layer_name(node)}/flatten", axis=1)

    def _joins(self, before: onnx.NodeProto) -> bool:
        """Whether this is a layer with an output for each channel of the norm after it, and for nobody else."""
        name, given = before.output[0], attributes_of(before)
        layer = before.op_type == "Conv" or (before.op_type == "Gemm" and given.get("transB", 0) == 1)
        plain = {given.get("alpha", 1.0), given.get("beta", 1.0)} == {1.0}
        known = all(one in self._constants for one in before.input[1:])
        return layer and plain and known and self._uses[name] == 1 and name not in self._outputs

    def _split(self, node: onnx.NodeProto) -> Nodes:
        name = layer_name(node)
        axis = int(attributes_of(node).get("axis", 0))
        ends = np.cumsum(self._parts(node, axis)).tolist()
        axes = self._constant(f"{name}/axes", np.array([axis], np.int64))
        for place, (start, end, part) in enumerate(zip([0, *ends], ends, node.output, strict=False)):
            first = self._constant(f"{name}/start_{place}", np.array([start], np.int64))
            last = self._constant(f"{name}/end_{place}", np.array([end], np.int64))
            yield helper.make_node("Slice", [node.input[0], first, last, axes], [part], f"{name}/{place}")

    def _parts(self, node: onnx.NodeProto, axis: int) -> list[int]:
        given = attributes_of(node).get("split")
        if given is not None:
            return list(given)
        if len(node.input) > 1 and node.input[1] in self._constants:
            return list(self._constants[node.input[1]].tolist())
        sizes = self._sizes(str(node.output[0]))
        if not sizes or not sizes[axis]:
            raise PassError(
                f"node '{layer_name(node)}': how large the parts of this Split are can't be told; name their sizes"
            )
        return [sizes[axis]] * len(node.output)

    def _sizes(self, name: str) -> tuple[int, ...]:
        """Of a tensor that the graph makes, 0 for one that is not known; empty if nothing is."""
        if self._shapes is None:
            known = onnx.shape_inference.infer_shapes(self._model).graph.value_info
            self._shapes = {
                one.name: tuple(int(size.dim_value) for size in one.type.tensor_type.shape.dim) for one in known
            }
        return self._shapes.get(name, ())

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Keep it, under a name that it shares with its equals alone: what it is made of may serve others, too."""
        while name in self._constants and not np.array_equal(self._constants[name], value):
            name += "/other"
        if name not in self._constants:
            self._constants[name] = value
            self._model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def layer_name(node: onnx.NodeProto) -> str:
    """What a node goes by: its name, or what it makes."""
    return str(node.name or node.output[0])


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """By name, as Python's own types."""
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}
