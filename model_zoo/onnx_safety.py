"""What a stranger's ONNX graph may not hold: files outside it, operators of engines that are not ours.

Importing this imports ``onnx``; the bundle reader does not, the writer does.
"""

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from model_zoo.errors import BundleError, ImportRefusedError

# "" and ai.onnx are the standard's; com.microsoft is ONNX Runtime's own set.
RUNTIME_DOMAIN = "com.microsoft"
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", RUNTIME_DOMAIN}
# Operators that hold or name a compiled program or a file.
_OPAQUE = {"EPContext", "PyOp", "PythonOp"}


def parse_model(data: bytes) -> onnx.ModelProto:
    """The model of these bytes, with no file but them touched.

    Raises:
        BundleError: not an ONNX model.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise BundleError(f"not an ONNX model: {error}") from error
    if not model.ir_version or not model.HasField("graph"):
        raise BundleError("not an ONNX model: it has no graph")
    return model


def refuse_external_data(data: bytes) -> None:
    """Refuse a graph that makes an engine open files.

    Raises:
        BundleError: not an ONNX model, weights in other files, or an operator that names a compiled program.
    """
    model = parse_model(data)
    for tensor in tensors(model):
        if is_external(tensor):
            raise BundleError(
                f"the graph keeps its weight '{tensor.name[:100]}' in another file (external data); a bundle's is one "
                "file: onnx.save(onnx.load(FILE), NEW_FILE) puts them together"
            )
    opaque = sorted({node.op_type for node in nodes(model)} & _OPAQUE)
    if opaque:
        raise BundleError(f"the graph has the operator {opaque[0]}, which runs a program from outside the graph")


def refuse_foreign_operators(model: onnx.ModelProto) -> None:
    """Refuse operators that no engine here knows; those that the file itself defines are fine.

    Raises:
        ImportRefusedError: naming the first few.
    """
    known = _DOMAINS | {function.domain for function in model.functions}
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in nodes(model) if node.domain not in known})
    if foreign:
        raise ImportRefusedError(
            f"the graph has operators of its own that no engine here knows: {', '.join(foreign[:5])}"
        )


def graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, its subgraphs at any depth, and the model's functions."""
    waiting: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    waiting += [info.algorithm for info in model.training_info] + [info.initialization for info in model.training_info]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            waiting.extend(subgraphs(node))


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The bodies of If, Loop, Scan; one level."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node at any depth."""
    for graph in graphs(model):
        yield from graph.node


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether it is kept in another file, or says so."""
    return bool(tensor.data_location == tensor.EXTERNAL or tensor.external_data)


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant at any depth: initialisers, sparse ones, attributes."""
    for graph in graphs(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            yield from _parts(graph.sparse_initializer)
        for node in graph.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors
                yield from _parts([attribute.sparse_tensor, *attribute.sparse_tensors])


def _parts(sparse_tensors: "list[onnx.SparseTensorProto]") -> Iterator[onnx.TensorProto]:
    for sparse in sparse_tensors:
        yield from (sparse.values, sparse.indices)
