"""``check.npz`` of a graph that was rewritten: what the graph means, without any engine's own kernels.

Every operator is computed in float32 between the roundings that the graph asks for, so what is expected hangs on no
machine's kernels. What an engine may differ by is ``model_zoo.check``'s: a share of the largest output, for logits have
no unit.
"""

import numpy as np
from numpy.typing import NDArray

from model_zoo.check import CheckSet, make_check
from model_zoo.graph_class_activation import outputs_of
from model_zoo.spec import Precision
from optimize.errors import PassError
from optimize.judging.arithmetic import open_model, runtime_faults


def reference_check(model: bytes, pictures: NDArray[np.uint8], precision: Precision) -> CheckSet:
    """Run the graph on four pictures.

    Args:
        model: ONNX, uint8 NHWC in.
        pictures: uint8 (4, height, width, channels).
        precision: of the graph; it sets the tolerance.
    Raises:
        PassError: ONNX Runtime does not take the graph.
    """
    names = [output.name for output in outputs_of(model)]
    try:
        return make_check(
            np.asarray(pictures),
            lambda batch: [open_model(model, "reference", output=name)(batch) for name in names],
            names=names,
            precision=precision,
        )
    except runtime_faults() as error:
        raise PassError(f"ONNX Runtime does not take the graph that came out: {error}") from error
