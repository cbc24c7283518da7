"""Our operators against torch's own and against ONNX's reference, in float64."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch.nn import functional as F

from optimize.errors import PassError
from optimize.passes.float64_operators import OPERATORS, conv, gemm


@pytest.mark.parametrize(
    ("groups", "kernel", "stride", "dilation"), [(1, 3, 2, 1), (8, 5, 1, 1), (2, 3, 1, 2), (1, 1, 1, 1)]
)
def test_conv_is_torchs(groups: int, kernel: int, stride: int, dilation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-128, 128, (2, 8, 13, 11), generator=generator).double()
    weight = torch.randint(
        -127, 128, (16 if groups != 8 else 8, 8 // groups, kernel, kernel), generator=generator
    ).double()
    attributes = {"pads": [0, 1, 2, 3], "strides": [stride, stride], "dilations": [dilation] * 2, "group": groups}
    expected = F.conv2d(F.pad(x, (1, 3, 0, 2)), weight, stride=stride, dilation=dilation, groups=groups)
    assert torch.equal(conv(x, weight, attributes), expected)  # whole numbers: exact in any order


def test_max_pool_is_torchs_with_negative_inputs() -> None:
    x = -torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    assert torch.allclose(OPERATORS["MaxPool"]([x], attributes), F.max_pool2d(x, 3, 2, 1), rtol=1e-14)


def test_gemm_that_is_no_plain_layer_is_refused() -> None:
    with pytest.raises(PassError, match="transB"):
        gemm(torch.ones(1, 2), torch.ones(3, 2), {"transB": 0})


def _reference(
    op: str, inputs: list[torch.Tensor], attributes: dict[str, object], *operands: list[int]
) -> torch.Tensor:
    """ONNX's own evaluation of one operator."""
    names = [f"x{place}" for place in range(len(inputs))]
    more = [f"o{place}" for place in range(len(operands))]
    graph = helper.make_graph(
        [helper.make_node(op, [*names, *more], ["y"], **attributes)],
        op,
        [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in names]
        + [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None) for name in more],
        [helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    given = {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
    given |= {name: np.array(one, np.int64) for name, one in zip(more, operands, strict=True)}
    return torch.from_numpy(np.array(ReferenceEvaluator(model).run(None, given)[0]))


OPERANDS = {"Reshape": ("shape",), "Slice": ("starts", "ends", "axes", "steps")}


@pytest.mark.parametrize(
    ("op", "attributes", "operands"),
    [
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, ()),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, ()),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, ()),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, ()),
        ("MaxPool", {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [0, 1, 1, 1], "ceil_mode": 1}, ()),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}, ()),
        ("HardSigmoid", {}, ()),
        ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, ()),
        ("HardSwish", {}, ()),
        ("LeakyRelu", {"alpha": 0.1}, ()),
        ("Sigmoid", {}, ()),
        ("Transpose", {"perm": [0, 2, 1, 3]}, ()),
        ("Reshape", {}, ([-1, 2, 2, 8, 7],)),
        ("Reshape", {}, ([0, 2, -1],)),
        ("Slice", {}, ([-1], [-(2**63)], [3], [-1])),
        ("Slice", {}, ([1, 0], [3, -2], [1, 2], [1, 2])),
        ("Slice", {}, ([0, 2], [100, 4], [-2, -1])),
    ],
)
def test_an_operator_is_the_references(op: str, attributes: dict[str, object], operands: tuple[list[int], ...]) -> None:
    x = 4 * torch.randn(3, 4, 8, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    given = {**attributes, **dict(zip(OPERANDS.get(op, ()), operands, strict=False))}
    expected = _reference(op, [x], attributes, *operands)
    torch.testing.assert_close(OPERATORS[op]([x], given), expected, rtol=1e-6, atol=1e-6)


def test_products_and_concatenations_are_the_references() -> None:
    x = torch.randn(3, 4, 8, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gate = x[:, :, :1, :1]
    assert torch.equal(OPERATORS["Mul"]([x, gate], {}), _reference("Mul", [x, gate], {}))
    expected = _reference("Concat", [x, x[:, :2]], {"axis": 1})
    assert torch.equal(OPERATORS["Concat"]([x, x[:, :2]], {"axis": 1}), expected)


@pytest.mark.parametrize(
    ("op", "attributes", "says"),
    [
        ("AveragePool", {"kernel_shape": [2, 2], "ceil_mode": 1}, "ceil_mode = 0"),
        ("MaxPool", {"kernel_shape": [2, 2], "auto_pad": b"SAME_UPPER"}, "auto_pad"),
        ("Concat", {"axis": 0}, "axis 0"),
        ("Slice", {"starts": [0], "ends": [1], "axes": [0]}, "axis 0"),
        ("Slice", {"starts": [0], "ends": [1]}, "axis 0"),
        ("Transpose", {"perm": [1, 0, 2, 3]}, "batch"),
        ("Reshape", {"shape": [8, -1]}, "batch"),
        ("Reshape", {"shape": [-1, 4]}, "batch"),
        ("Flatten", {"axis": 2}, "axis = 1"),
    ],
)
def test_what_mixes_pictures_or_needs_an_engine_is_refused(op: str, attributes: dict[str, object], says: str) -> None:
    with pytest.raises(PassError, match=says):
        OPERATORS[op]([torch.ones(2, 3, 4, 4, dtype=torch.float64)], attributes)
