"""Half precision: weights of 16 bits, and perhaps arithmetic of 16 bits too.

``storage`` halves the file and changes nothing else: a weight is kept as float16, and a
Cast in the graph makes it float32 again, which an engine does once, when it loads. What
changes is the rounding of the weights, to eleven significant bits, to fewer below 6e-5, and to 0 below 3e-8.

``compute`` asks for float16 from the first layer to the last, for GPUs: pixels stay
uint8 and the outputs float32. It is ``onnxruntime.transformers.float16``, which knows the
operators that must stay in float32; but a weight that would become infinite is refused,
where that clamps it. CPUs without float16 kernels run such a graph in float32 with a
conversion around every operator: correct, never faster. Activations beyond 65504 overflow:
compare the answers.

No bfloat16: ONNX has no bfloat16 convolution before opset 22, and ONNX Runtime's CPU has none
at all. Engines that gain by it (OpenVINO, on CPUs that multiply in it) take float32 graphs and round by themselves.
"""

from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from model_zoo.onnx_facts import read_precision
from optimize.errors import PassError
from optimize.passes import Pass, PassConfig
from optimize.passes.layer_weights import StoredForm, layer_weights, read_model, replace_constants, write_model
from optimize.passes.pictures import Pictures

LARGEST = 65504.0
# Of fewer numbers, the Cast takes more room than is saved.
_LEAST = 256


class Float16(PassConfig):
    """Which form."""

    form: Literal["storage", "compute"] = "storage"


def float16(model: bytes, _: Pictures, config: Float16) -> bytes:
    """Round the weights to float16.

    Args:
        model: ONNX.
        config: see the module.
    Raises:
        PassError: a weight that float16 can't hold; ``compute`` of an INT8 model.
    """
    parent = read_model(model)
    if config.form == "storage":
        forms = {one.name: _stored(one) for one in layer_weights(parent, _LEAST)}
        replace_constants(parent, forms)
        return write_model(parent)
    return write_model(_computing(parent))


def _stored(tensor: onnx.TensorProto) -> StoredForm:
    form = StoredForm()
    half = form.constant(f"{tensor.name}/half", _rounded(tensor))
    form.node("Cast", [half], tensor.name, to=TensorProto.FLOAT)
    return form


def _rounded(tensor: onnx.TensorProto) -> NDArray[np.float16]:
    values = numpy_helper.to_array(tensor)
    if not np.isfinite(values).all():
        raise PassError(f"the weights '{tensor.name}' hold what is no number (NaN or infinity)")
    largest = float(np.abs(values).max(initial=0))
    if largest > LARGEST:
        raise PassError(
            f"the weights '{tensor.name}' reach {largest:.6g}, and float16 ends at {LARGEST:.0f}; leave the model in "
            "float32, or make it smaller with cluster_weights or quantize_int8"
        )
    return values.astype(np.float16)


def _computing(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    if read_precision(model) == "int8":
        raise PassError("an INT8 model computes in bytes already; float16 with form = 'compute' takes a float model")
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(_rounded(tensor).astype(np.float32), tensor.name))
    outputs = list(model.graph.output)
    converted: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    del converted.graph.output[:], converted.graph.value_info[:]
    converted.graph.output.extend(outputs)
    return converted


PASS: Pass[Float16] = Pass(Float16, float16, needs_pictures=False)
