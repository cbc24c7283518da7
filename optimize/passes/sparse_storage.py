"""Zeros that take a bit each: a mask that says which weights are not 0, and the values of those.

Of float32 at half zeros this is 0.55 of the bytes, and every further zero saves four more. ONNX has a form
of its own for this (``sparse_initializer``), of no use here: OpenVINO refuses it, and so does ONNX's own checker where
shapes are inferred; and it takes eight bytes to say where a weight is. So the dense weight is made in the graph, of
operators that depend on constants alone. Engines compute them once, when they load, and then run what they ran
before: at its speed, with its memory. (Those with shapes that depend on values, such as NonZero, ONNX Runtime
leaves for every run; CumSum, OpenVINO does. Neither is used.)

A weight that is not 0 needs its place among the values. Within a byte of the mask, a table of all 256 bytes
tells how many come before; the bytes before it in a block of 32 are counted by a sum over a triangle; what
comes before a block is stored, a number for 256 weights. In all that is 9/64 of a byte for a weight, and the values.

Values are kept to the bit, also those of float16 weights and of 8-bit codes, whose further steps (Cast,
DequantizeLinear) stay as they are. A weight is stored so where it saves a tenth of its bytes; of a network without
zeros nothing changes.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from model_zoo.onnx_safety import nodes
from optimize.errors import PassError
from optimize.passes import Pass, PassConfig
from optimize.passes.layer_weights import (
    LAYERS,
    StoredForm,
    drop_listed_constants,
    read_model,
    replace_constants,
    write_model,
)
from optimize.passes.pictures import Pictures

OLDEST_OPSET = 13
_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8)
# What makes a layer's weights of those that are stored.
_READERS = frozenset({"Cast", "DequantizeLinear"})
# Bytes of the mask in a block.
_BLOCK = 32
_MOST = 0.9
# Of tables that all weights use.
_RANKS, _COUNTS, _BEFORE = "sparse/ranks", "sparse/counts", "sparse/before"
_NONE, _FLAT, _BEGIN, _AXIS = "sparse/none", "sparse/flat", "sparse/begin", "sparse/axis"


class SparseStorage(PassConfig):
    """Nothing to choose."""


def sparse_storage(model: bytes, _: Pictures, config: SparseStorage) -> bytes:
    """Store zeros as bits.

    Args:
        model: ONNX.
        config: has no fields.
    Returns:
        No more bytes than ``model``.
    Raises:
        PassError: not an ONNX model, of an opset in which sums can't be written so, or one that this pass has been
            at and that has got further zeros since.
    """
    parent = read_model(model)
    opset = next((one.version for one in parent.opset_import if not one.domain), 0)
    if opset < OLDEST_OPSET:
        raise PassError(
            f"the model is of opset {opset}; sparse_storage needs {OLDEST_OPSET} or later: "
            "onnx.version_converter.convert_version does it"
        )
    drop_listed_constants(parent)
    forms = {tensor.name: form for tensor in _weights(parent) if (form := _smaller(tensor)) is not None}
    if not forms:
        return model
    if any(one.name == _BEFORE for one in parent.graph.initializer):
        raise PassError("sparse_storage has stored a part of this model already: take the pass once, as the last")
    replace_constants(parent, {"": _tables(), **forms})
    stored = write_model(parent)
    return stored if len(stored) < len(model) else model


def _weights(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """What layers' weights are stored as, where it is a constant."""
    makers = {node.output[0]: node for node in model.graph.node if node.op_type in _READERS}
    used = {node.input[1] for node in nodes(model) if node.op_type in LAYERS}
    used |= {makers[name].input[0] for name in used if name in makers}
    yield from (one for one in model.graph.initializer if one.name in used and one.data_type in _TYPES)


def _smaller(tensor: onnx.TensorProto) -> StoredForm | None:
    """Its stored form; None where that saves too little."""
    form = _stored(tensor.name, numpy_helper.to_array(tensor))
    size = sum(one.ByteSize() for one in form.constants) + sum(one.ByteSize() for one in form.nodes)
    return form if size < _MOST * tensor.ByteSize() else None


def _stored(name: str, weights: NDArray[np.generic]) -> StoredForm:
    flat = weights.ravel()
    kept = flat.view(f"u{flat.itemsize}") != 0  # by its bits: −0.0 is a value
    mask = np.packbits(np.concatenate([kept, np.zeros(-kept.size % (8 * _BLOCK), bool)])).reshape(-1, _BLOCK)
    held = np.unpackbits(mask, axis=1).sum(axis=1, dtype=np.int32)
    starts = (np.cumsum(held, dtype=np.int32) - held).reshape(-1, 1, 1)

    form = StoredForm()
    bits = form.constant(f"{name}/mask", mask)
    values = form.constant(f"{name}/values", np.concatenate([np.zeros(1, flat.dtype), flat[kept]]))
    byte = form.node("Cast", [bits], f"{name}/bytes", to=TensorProto.INT32)
    rank = form.node("Gather", [_RANKS, byte], f"{name}/rank", axis=0)
    count = form.node("Gather", [_COUNTS, byte], f"{name}/count", axis=0)
    under = form.node("Where", [_BEFORE, count, _NONE], f"{name}/under")
    before = form.node("ReduceSum", [under, _AXIS], f"{name}/before", keepdims=0)
    start = form.node("Add", [before, form.constant(f"{name}/starts", starts)], f"{name}/start")
    place = form.node("Add", [start, rank], f"{name}/place")
    is_kept = form.node("Cast", [rank], f"{name}/kept", to=TensorProto.BOOL)
    found = form.node("Where", [is_kept, place, _NONE], f"{name}/found")
    row = form.node("Reshape", [found, _FLAT], f"{name}/row")
    end = form.constant(f"{name}/end", np.array([flat.size], np.int64))
    cut = form.node("Slice", [row, _BEGIN, end], f"{name}/cut")
    shape = form.constant(f"{name}/shape", np.array(weights.shape, np.int64))
    form.node("Gather", [values, form.node("Reshape", [cut, shape], f"{name}/places")], name, axis=0)
    return form


def _tables() -> StoredForm:
    """Of each byte, which of its ones each place is (from 1; 0: none) and how many it has; and the triangle."""
    ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    form = StoredForm()
    for name, table in {_RANKS: np.cumsum(ones, axis=1) * ones, _COUNTS: ones.sum(axis=1)[:, None, None]}.items():
        small = form.constant(f"{name}/bytes", table.astype(np.uint8))
        form.node("Cast", [small], name, to=TensorProto.INT32)
    # Not as numbers: bytes that are cast and multiplied OpenVINO takes for quantised weights, and leaves to every run.
    form.constant(_BEFORE, np.triu(np.ones((_BLOCK, _BLOCK), bool), 1)[:, :, None])
    form.constant(_NONE, np.array(0, np.int32))
    for name, number in ((_FLAT, -1), (_BEGIN, 0), (_AXIS, 1)):
        form.constant(name, np.array([number], np.int64))
    return form


PASS: Pass[SparseStorage] = Pass(SparseStorage, sparse_storage, needs_pictures=False)
