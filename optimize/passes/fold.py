"""A plain graph: batch norms inside the convolutions before them, what depends on constants computed, no dead ends.

onnxscript's optimiser does the work, with those of its rules that change no answer beyond
float rounding and no operator into one that engines or later passes know less well (it
would write Flatten as Reshape). What is computed beforehand is no larger than what it was
computed from, so weights stored in bytes or in half precision stay so; the codes of
quantised weights are left alone too, each layer with its own: ONNX Runtime can't open a graph
in which two layers take the same, when it is told to sum exactly.

What this project exports is folded already: the pass is for strangers' graphs. Engines do
most of it when they load, but other passes do not see what they do. A batch norm that
does not follow a convolution or a linear layer stays, and so does one whose layer is used elsewhere too.
"""

import math

import onnx_ir as ir
from onnx_ir.passes import PassManager, common
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules

from model_zoo.graph_tidy import set_metadata
from optimize.passes import Pass, PassConfig
from optimize.passes.layer_weights import read_model, write_model
from optimize.passes.pictures import Pictures

_ROUNDS = 4
_ALWAYS_BYTES = 256
_LEFT = frozenset({"ConstantOfShape", "DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
_RULES = (
    *(rules.mul_by_1_rule, rules.add_0_rule, rules.sub_0_rule, rules.div_by_1_rule),
    *(rules.dropout_zero_rule, rules.dropout_inference_rule),
    *(rules.no_op_cast_rule, rules.no_op_expand_rule, rules.no_op_transpose_rule, rules.transpose_transpose_rule),
    *(rules.successive_relu_rule, rules.successive_clip_rule),
    *(rules.successive_relu_clip_rule, rules.successive_clip_relu_rule),
    *(rules.normalize_pad_format_conv_rule, rules.fuse_pad_into_conv_rule),
    *(rules.fuse_batchnorm_into_conv_rule, rules.fuse_batchnorm_into_conv_transpose_rule),
    rules.fuse_batchnorm_into_gemm_rule,
)


class Fold(PassConfig):
    """Nothing to choose."""


def fold(model: bytes, _: Pictures, config: Fold) -> bytes:
    """Fold; what is as plain as it can be comes back as it is.

    Args:
        model: ONNX.
        config: has no fields.
    Returns:
        No more bytes than ``model``.
    Raises:
        PassError: not an ONNX model.
    """
    parent = read_model(model)
    inner = ir.serde.deserialize_model(parent)
    for _round in range(_ROUNDS):
        folded = fold_constants_ir(inner, onnx_shape_inference=True, should_fold=_is_no_larger, output_size_limit=2**31)
        if not (PassManager((RewritePass(_RULES), common.RemoveUnusedNodesPass()))(inner).modified or folded.modified):
            break
    quantised = any(node.op_type == "DequantizeLinear" for node in inner.graph)
    for last in (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        *(() if quantised else (common.DeduplicateInitializersPass(),)),
        common.RemoveUnusedOpsetsPass(),
        common.ClearMetadataAndDocStringPass(),
        common.NameFixPass(),
    ):
        last(inner)
    plain = ir.serde.serialize_model(inner)
    del plain.graph.value_info[:]
    del plain.graph.input[:], plain.graph.output[:]
    plain.graph.input.extend(parent.graph.input)
    plain.graph.output.extend(parent.graph.output)
    set_metadata(plain, {entry.key: entry.value for entry in parent.metadata_props})
    return min(write_model(plain), model, key=len)


def _is_no_larger(node: ir.Node) -> bool:
    """Whether to compute a node of constants beforehand: what comes out takes the room of what goes, or hardly any."""
    output = node.outputs[0]
    if node.op_type in _LEFT or output.shape is None or output.dtype is None:
        return False
    sizes = [size for size in output.shape if isinstance(size, int)]
    if len(sizes) != len(output.shape):
        return False
    freed = sum(
        value.const_value.nbytes
        for value in node.inputs
        if value is not None and value.const_value is not None and len(value.uses()) == 1
    )
    return math.prod(sizes) * output.dtype.itemsize <= max(freed, _ALWAYS_BYTES)


PASS: Pass[Fold] = Pass(Fold, fold, needs_pictures=False)
