"""What a stranger's ONNX classifier takes and says of itself, or why it can't be told."""

import ast
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import onnx
from onnx import TensorProto

from model_zoo.errors import ImportRefusedError
from model_zoo.manifest import MAX_SIDE_PX
from model_zoo.spec import Precision

Layout = Literal["NCHW", "NHWC"]
Element = Literal["float32", "float16", "uint8"]

# What a float graph computes in integers with: any of these makes the bundle an INT8 one.
_INTEGER_OPS = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
_MAX_NAMES_CHARACTERS = 2**20


@dataclass(frozen=True, slots=True)
class GraphInput:
    """The one picture input of a graph; ``batch``, ``height``, ``width`` None when the graph leaves them open."""

    name: str
    element: Element
    layout: Layout
    batch: int | None
    channels: Literal[1, 3]
    height: int | None
    width: int | None

    def shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        """A concrete shape in the graph's own layout."""
        if self.layout == "NCHW":
            return (batch, self.channels, height, width)
        return (batch, height, width, self.channels)


def read_input(model: onnx.ModelProto, layout: Layout | None = None) -> GraphInput:
    """Find the picture input; initialisers that old files list as inputs do not count.

    Args:
        layout: needed only where the shape fits both.
    Raises:
        ImportRefusedError: several inputs, or one that is not a batch of pictures.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ImportRefusedError(f"a classifier takes one picture; this graph has {len(inputs)} inputs ({names})")
    dimensions = _dimensions(inputs[0])
    layout = _layout(inputs[0].name, dimensions, layout)
    batch = dimensions[0]
    channels, height, width = dimensions[1:] if layout == "NCHW" else (dimensions[3], *dimensions[1:3])
    if channels not in (1, 3, None):
        raise ImportRefusedError(f"the input has {channels} channels; pictures have 3 (RGB) or 1 (grey)")
    for side, size in (("height", height), ("width", width)):
        if size is not None and not 1 <= size <= MAX_SIDE_PX:
            raise ImportRefusedError(f"the input's {side} is {size}; 1 to {MAX_SIDE_PX} can be served")
    if batch is not None and batch < 1:
        raise ImportRefusedError(f"the input's batch is {batch}")
    return GraphInput(inputs[0].name, _element(inputs[0]), layout, batch, 1 if channels == 1 else 3, height, width)


def _dimensions(value: onnx.ValueInfoProto) -> list[int | None]:
    """Four sizes, None where the graph leaves one open."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise ImportRefusedError(f"the input '{value.name}' is not a tensor with a shape, so it can't be a picture")
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
    if len(sizes) != 4:
        raise ImportRefusedError(f"the input '{value.name}' has {len(sizes)} dimensions; a batch of pictures has 4")
    return sizes


def _element(value: onnx.ValueInfoProto) -> Element:
    elements: dict[int, Element] = {
        TensorProto.FLOAT: "float32",
        TensorProto.FLOAT16: "float16",
        TensorProto.UINT8: "uint8",
    }
    number = value.type.tensor_type.elem_type
    if number not in elements:
        known = TensorProto.DataType.keys()
        name = known[number].lower() if 0 <= number < len(known) else str(number)
        raise ImportRefusedError(f"the input '{value.name}' is {name}; float32, float16 and uint8 can be fed")
    return elements[number]


def _layout(name: str, sizes: Sequence[int | None], asked: Layout | None) -> Layout:
    first, last = sizes[1] in (1, 3), sizes[3] in (1, 3)
    if asked is not None:
        channels = sizes[1] if asked == "NCHW" else sizes[3]
        if channels not in (1, 3, None):
            raise ImportRefusedError(f"the input '{name}' {_written(sizes)} is not {asked}: {channels} channels")
        return asked
    if first != last:
        return "NCHW" if first else "NHWC"
    if not first and None not in (sizes[1], sizes[3]):
        raise ImportRefusedError(f"the input '{name}' {_written(sizes)} has no side of 3 (RGB) or 1 (grey) channels")
    raise ImportRefusedError(
        f"the input '{name}' {_written(sizes)} may be NCHW or NHWC; say which with --layout NCHW or --layout NHWC"
    )


def _written(sizes: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in sizes) + "]"


def read_precision(model: onnx.ModelProto) -> Precision:
    """What most of the arithmetic is done in."""
    if any(node.op_type in _INTEGER_OPS or node.op_type.startswith("QLinear") for node in model.graph.node):
        return "int8"
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
    halves = sum(math.prod(tensor.dims) for tensor in weights if tensor.data_type == TensorProto.FLOAT16)
    return "fp16" if halves * 2 > sum(math.prod(tensor.dims) for tensor in weights) else "fp32"


@dataclass(frozen=True, slots=True)
class Facts:
    """What ``metadata_props`` say: class names, (height, width), and whether the writer feeds pixels / 255."""

    names: tuple[str, ...] | None
    size: tuple[int, int] | None
    unit_pixels: bool


def read_facts(model: onnx.ModelProto) -> Facts:
    """The facts that common exporters (Ultralytics, this project) leave in the file.

    Raises:
        ImportRefusedError: names that can't be read.
    """
    properties = {entry.key: entry.value for entry in model.metadata_props}
    unit_pixels = properties.get("author") == "Ultralytics" and properties.get("task") == "classify"
    return Facts(_names(properties.get("names")), _size(properties.get("imgsz")), unit_pixels)


def _literal(text: str) -> object:
    """A Python or JSON literal; raises ValueError."""
    if len(text) > _MAX_NAMES_CHARACTERS:
        raise ValueError("too long")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        try:
            content: object = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        return content


def _names(text: str | None) -> tuple[str, ...] | None:
    """``{0: 'cat', 1: 'dog'}``, with the keys in any order, or a plain list."""
    if not text:
        return None
    try:
        content = _literal(text)
        if isinstance(content, dict):
            numbered = {int(key): value for key, value in content.items()}
            content = [numbered[index] for index in range(len(content))]
        if not isinstance(content, list | tuple) or not all(isinstance(name, str) for name in content):
            raise ValueError("not a list of texts")
    except (ValueError, TypeError, KeyError) as error:
        raise ImportRefusedError(
            f"the file's class names (metadata 'names') can't be read: {error!r}; give them with --labels FILE"
        ) from error
    return tuple(content)


def _size(text: str | None) -> tuple[int, int] | None:
    """``[224, 224]`` or ``224``; anything else tells nothing."""
    try:
        content = _literal(text or "None")
    except ValueError:
        return None
    if isinstance(content, int) and not isinstance(content, bool):
        content = [content, content]
    if not isinstance(content, list | tuple) or len(content) != 2:
        return None
    height, width = content
    return (height, width) if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0 else None
