"""What every rewrite promises, and what each does."""

from functools import cache

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model_zoo.graph_class_activation import add_class_activation
from model_zoo.graph_tidy import set_metadata
from optimize.judging.arithmetic import Arithmetic, open_model
from optimize.judging.fused import fused_share, work_of
from optimize.passes import load_pass
from optimize.passes.layer_weights import read_model, write_model
from optimize.passes.plain_form import attributes_of
from optimize.passes.rewrites import REWRITES, load_rewrite
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.passes.rewrites.odd_net import WIDTH, odd_net
from tests.optimize.small_nets import pictures, residual_net

NETS = {"residual": residual_net, "odd": odd_net, "redundant": redundant_net}
every_rewrite = pytest.mark.parametrize("name", REWRITES)
every_net = pytest.mark.parametrize("net", NETS)


@cache
def graph(net: str, *, int8: bool = False, explained: bool = False) -> bytes:
    model = onnx.load_from_string(NETS[net]())
    set_metadata(model, {"task": "classify", "names": "{0: 'a'}"})
    assert add_class_activation(model) or not explained
    data: bytes = model.SerializeToString() if explained else NETS[net]()
    return load_pass("quantize_int8").run(data, pictures(32), {}) if int8 else data


def rewritten(name: str, model: bytes, wanted: list[str] | None = None) -> tuple[bytes, list[str]]:
    changed = read_model(model)
    layers = load_rewrite(name)(changed, wanted)
    return write_model(changed), layers


def answers(model: bytes, arithmetic: Arithmetic, output: str = "logits") -> np.ndarray:
    return open_model(model, arithmetic, output=output)(pictures(24, seed=1))


@every_rewrite
@every_net
def test_a_float_graph_answers_as_before_but_for_rounding(name: str, net: str) -> None:
    before = graph(net)
    after, _ = rewritten(name, before)
    for arithmetic in ("reference", "exact"):
        expected = answers(before, arithmetic)
        np.testing.assert_allclose(answers(after, arithmetic), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@every_rewrite
@every_net
def test_a_graph_in_integers_answers_exactly_as_before_and_stays_in_integers(name: str, net: str) -> None:
    before = graph(net, int8=True)
    after, _ = rewritten(name, before)
    np.testing.assert_array_equal(answers(after, "exact"), answers(before, "exact"))
    assert fused_share(after).share == 1


@every_rewrite
@pytest.mark.parametrize("int8", [False, True])
def test_inputs_outputs_metadata_and_the_map_are_kept(name: str, int8: bool) -> None:
    before = graph("odd", int8=int8, explained=True)
    after, layers = rewritten(name, before)
    mine, theirs = onnx.load_from_string(after).graph, onnx.load_from_string(before).graph
    assert list(mine.input) == list(theirs.input)
    assert list(mine.output) == list(theirs.output)
    assert onnx.load_from_string(after).metadata_props == onnx.load_from_string(before).metadata_props
    old = answers(before, "exact", "class_activation")
    np.testing.assert_allclose(
        answers(after, "exact", "class_activation"), old, rtol=0, atol=0 if int8 else 1e-5 * np.abs(old).max()
    )
    assert int8 or layers, "of this graph there is something to rewrite"


@every_rewrite
@every_net
@pytest.mark.parametrize("int8", [False, True])
def test_layers_keep_their_names_and_some_can_be_chosen(name: str, net: str, int8: bool) -> None:
    before = graph(net, int8=int8)
    after, layers = rewritten(name, before)
    assert set(work_of(after)) == set(work_of(before)) >= set(layers)
    assert len(set(layers)) == len(layers)
    assert rewritten(name, before)[0] == after, "the same bytes for the same graph"
    half, chosen = rewritten(name, before, layers[: len(layers) // 2])
    assert chosen == layers[: len(layers) // 2]
    np.testing.assert_allclose(answers(half, "exact"), answers(before, "exact"), rtol=0, atol=0 if int8 else 1e-4)
    assert rewritten(name, before, [])[1] == []


@every_rewrite
@pytest.mark.parametrize("int8", [False, True])
def test_openvino_takes_it(name: str, int8: bool) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install 'quickeye[fast]'")
    before = graph("odd", int8=int8)
    after, _ = rewritten(name, before)
    engine, found = openvino.Core(), []
    for model in (before, after):
        compiled = engine.compile_model(engine.read_model(model, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found.append(compiled(pictures(8))[0])
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=(0.02 if int8 else 1e-4) * np.abs(found[0]).max())


@pytest.mark.parametrize("int8", [False, True])
def test_no_pointwise_convolution_is_left_and_those_of_most_channels_come_first(int8: bool) -> None:
    after, layers = rewritten("pointwise_products", graph("odd", int8=int8))
    nodes = {node.name: node for node in onnx.load_from_string(after).graph.node}
    assert {nodes[name].op_type for name in layers} == {"Gemm" if int8 else "MatMul"}
    assert layers == ["a.thin", "b.thin", "a.wide", "b.wide", "features"]
    assert [name for name, node in nodes.items() if node.op_type == "Conv"] == ["stem", "a.deep", "b.deep"]


@pytest.mark.parametrize("attributes", [{"strides": [2, 2]}, {"group": 2}, {"pads": [1, 1, 1, 1]}])
def test_what_only_looks_like_a_product_stays(attributes: dict[str, int | list[int]]) -> None:
    model = onnx.load_from_string(residual_net())
    point = next(node for node in model.graph.node if node.name == "point")
    kept = [one for one in point.attribute if one.name not in attributes]
    del point.attribute[:]
    point.attribute.extend([*kept, *(onnx.helper.make_attribute(key, value) for key, value in attributes.items())])
    assert load_rewrite("pointwise_products")(model) == []


@pytest.mark.parametrize("int8", [False, True])
def test_inner_widths_become_multiples_of_eight_and_the_trunk_stays(int8: bool) -> None:
    after, layers = rewritten("channels_in_eights", graph("odd", int8=int8))
    assert layers == ["features", "a.wide", "b.wide"]
    model = onnx.load_from_string(after)
    work = work_of(after)
    assert work["a.deep"] * WIDTH == work_of(graph("odd", int8=int8))["a.deep"] * 24
    deep = next(node for node in model.graph.node if node.name == "a.deep")
    assert attributes_of(deep)["group"] == 24
    assert work["stem"] == work_of(graph("odd"))["stem"]


def test_a_width_that_somebody_else_needs_is_left_alone() -> None:
    """The map looks at the features, so these stay 22."""
    _, layers = rewritten("channels_in_eights", graph("odd", explained=True))
    assert layers == ["a.wide", "b.wide"]


def test_eights_are_eights_already() -> None:
    assert rewritten("channels_in_eights", odd_net(16))[1] == ["features"]


def test_of_the_normalisation_the_mean_alone_is_left_where_the_convolution_pads() -> None:
    after, layers = rewritten("first_convolution", graph("odd"))
    assert layers == ["stem"]
    kinds = [node.op_type for node in onnx.load_from_string(after).graph.node][:4]
    assert kinds == ["Transpose", "Cast", "Add", "Conv"]


def test_nothing_is_left_of_the_normalisation_where_nothing_is_padded() -> None:
    model = onnx.load_from_string(odd_net())
    stem = next(node for node in model.graph.node if node.name == "stem")
    next(one for one in stem.attribute if one.name == "pads").ints[:] = [0, 0, 0, 0]
    before = model.SerializeToString()
    after, _ = rewritten("first_convolution", before)
    assert [node.op_type for node in onnx.load_from_string(after).graph.node][:3] == ["Transpose", "Cast", "Conv"]
    expected = answers(before, "reference")
    np.testing.assert_allclose(answers(after, "reference"), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_normalisation_by_division_is_one_too() -> None:
    model = onnx.load_from_string(odd_net())
    scale = next(node for node in model.graph.node if node.name == "scale")
    scale.op_type = "Div"
    std = next(one for one in model.graph.initializer if one.name == "inverse_std")
    std.CopyFrom(numpy_helper.from_array(np.array([50, 60, 70], np.float32).reshape(1, 3, 1, 1), "inverse_std"))
    before = model.SerializeToString()
    after, layers = rewritten("first_convolution", before)
    assert layers == ["stem"]
    expected = answers(before, "reference")
    np.testing.assert_allclose(answers(after, "reference"), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "left"), [("pointwise_products", "a.thin"), ("channels_in_eights", "a.wide")])
def test_codes_with_scales_for_their_inputs_are_left_alone(name: str, left: str) -> None:
    """What another tool may write: rows of a weight don't have a scale each, but columns."""
    model = onnx.load_from_string(graph("odd", int8=True))
    layer = next(node for node in model.graph.node if node.name == "a.thin")
    maker = next(node for node in model.graph.node if node.output[0] == layer.input[1])
    next(one for one in maker.attribute if one.name == "axis").i = 1
    columns = numpy_helper.from_array(np.full(WIDTH, 0.01, np.float32), maker.input[1])
    next(one for one in model.graph.initializer if one.name == maker.input[1]).CopyFrom(columns)
    zeros = numpy_helper.from_array(np.zeros(WIDTH, np.int8), maker.input[2])
    next(one for one in model.graph.initializer if one.name == maker.input[2]).CopyFrom(zeros)
    layers = rewritten(name, model.SerializeToString())[1]
    assert layers
    assert left not in layers
