"""The runtime's own profile, layer by layer."""

import numpy as np
import onnx
import pytest

from optimize.errors import PassError
from optimize.judging.fused import work_of
from optimize.judging.layer_times import layer_times
from optimize.passes import load_pass
from tests.optimize.small_nets import pictures, residual_net


def unnamed(model: bytes) -> bytes:
    parsed = onnx.load_from_string(model)
    for node in parsed.graph.node:
        node.name = ""
    return parsed.SerializeToString()  # type: ignore[no-any-return]


@pytest.mark.parametrize("is_quantised", [False, True])
@pytest.mark.parametrize("has_names", [True, False])
def test_every_layer_has_its_time_by_the_name_that_its_work_has(is_quantised: bool, has_names: bool) -> None:
    """The runtime merges none of these layers into another, and keeps their names where it makes them of integers."""
    model = residual_net()
    if is_quantised:
        model = load_pass("quantize_int8").run(model, pictures(8), {})
    if not has_names:
        model = unnamed(model)
    times = layer_times(model, pictures(2))
    assert set(work_of(model)) <= set(times)
    assert all(value >= 0 for value in times.values())


def test_a_graph_that_the_runtime_does_not_take_is_said() -> None:
    parsed = onnx.load_from_string(residual_net())
    parsed.graph.node[0].op_type = "Convolve"
    unknown = parsed.SerializeToString()
    with pytest.raises(PassError, match="does not take the graph"):
        layer_times(unknown, pictures(1))
    with pytest.raises(PassError):
        layer_times(b"no model", np.zeros((1, 2, 2, 3), np.uint8))
