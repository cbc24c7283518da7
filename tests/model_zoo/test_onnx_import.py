"""Strangers' ONNX files: taken ones compute what they computed, refused ones say why.

The reference is ONNX's own numpy evaluator on the graph as it came, fed with
pictures that numpy normalised: neither the engine nor the wrapper under test.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.errors import BundleError, ImportRefusedError, ModelZooError
from model_zoo.onnx_import import import_onnx
from model_zoo.onnx_original import ImportOptions
from model_zoo.onnx_run import open_graph
from tests.model_zoo.onnx_graphs import CLASSES, SIDE, body, model, node, reference, weights

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGENET = {"mean": MEAN, "std": STD}
SOFTMAX = node("Softmax", ["y"], "s", axis=1)


def take(store: Path, made: onnx.ModelProto, **options: Any) -> Bundle:  # noqa: ANN401 - any of ImportOptions
    """Import with ImageNet's normalisation unless told otherwise."""
    normalised = made.graph.input[0].type.tensor_type.elem_type != TensorProto.UINT8
    options = (IMAGENET if normalised and not {"mean", "std"} & options.keys() else {}) | options
    return import_onnx(made.SerializeToString(), name="stranger", store=store, options=ImportOptions(**options))


def pictures(count: int, channels: int = 3, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    """Not those that the importer itself tries."""
    return np.random.default_rng(11).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def normalised(batch: NDArray[np.uint8], mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Any:  # noqa: ANN401
    """Float32 NCHW."""
    return ((batch.astype(np.float64) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)


def run(bundle: Bundle, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The bundle's logits."""
    return np.asarray(open_graph(bundle.read_model(), "images")(batch)["logits"], np.float32)


def assert_logits(bundle: Bundle, batch: NDArray[np.uint8], expected: NDArray[np.float32], **tolerance: float) -> None:
    """All at once and one at a time, the logits are the reference's."""
    tolerance = {"rtol": 1e-4, "atol": 1e-4} | tolerance
    one_by_one = np.concatenate([run(bundle, batch[i : i + 1]) for i in range(len(batch))])
    np.testing.assert_allclose(one_by_one, expected, **tolerance)
    if bundle.spec.input.max_batch is None:
        np.testing.assert_allclose(run(bundle, batch), expected, **tolerance)


def one_at_a_time(made: onnx.ModelProto, batch: NDArray[Any], output: str) -> NDArray[np.float32]:
    """The reference of a graph whose batch is fixed to one."""
    return np.concatenate([reference(made, batch[i : i + 1], output) for i in range(len(batch))])


RESHAPE = [*body()[:3], node("Reshape", ["p", "shape"], "f"), body()[4]]
CONSTANT_SHAPE = helper.make_node(
    "Constant", [], ["shape"], value=helper.make_tensor("v", TensorProto.INT64, [2], [1, 6])
)
TAKEN = {
    "fixed batch": model(body()),
    "dynamic batch": model(body(), shape=("batch", 3, SIDE, SIDE)),
    "dynamic everything": model(body(), shape=("n", 3, "h", "w")),
    "fixed batch of four": model(body(), shape=(4, 3, SIDE, SIDE)),
    "reshape to one row": model(RESHAPE, constants={**weights(), "shape": np.array([1, -1])}),
    "reshape to one row of six": model(RESHAPE, constants={**weights(), "shape": np.array([1, 6])}),
    "reshape with allowzero": model(
        [*body()[:3], node("Reshape", ["p", "shape"], "f", allowzero=1), body()[4]],
        constants={**weights(), "shape": np.array([1, 6])},
    ),
    "reshape by a Constant": model([CONSTANT_SHAPE, *RESHAPE]),
    "dynamic batch, reshape to one row": model(
        RESHAPE, constants={**weights(), "shape": np.array([1, 6])}, shape=("n", 3, SIDE, SIDE)
    ),
    "initialisers as inputs, old IR": model(body(), ir_version=3, opset=9, constants_as_inputs=True),
    "opset 8": model(body(), ir_version=3, opset=8, constants_as_inputs=True),
    "input called images": model(body("images"), source="images"),
    "values called images and logits": model(
        [node("Identity", ["x"], "images"), *body("images")[:4], node("Identity", ["f"], "logits"), *body()[4:]]
    ),
    "more outputs": model(body(), shape=("n", 3, SIDE, SIDE)),
}
TAKEN["more outputs"].graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
TAKEN["more outputs"].graph.output.append(helper.make_tensor_value_info("f", TensorProto.FLOAT, None))


@pytest.mark.parametrize("case", TAKEN)
def test_the_logits_are_the_originals(tmp_path: Path, case: str) -> None:
    """Whatever form the file has, and for any number of pictures."""
    made = TAKEN[case]
    extra = {"output": "y"} if case == "more outputs" else {}
    bundle = take(tmp_path, made, height=SIDE, width=SIDE, **extra)
    batch = pictures(5)
    assert bundle.spec.input.max_batch is None
    assert_logits(bundle, batch, reference(model(body()), normalised(batch), "y"))


def test_the_bundle_is_whole_and_says_what_was_done(tmp_path: Path) -> None:
    """Files, spec, lineage, metadata; the check's values are the graph's."""
    labels = ("a", "b", "c", "d", "é")
    bundle = take(tmp_path, model([*body(), SOFTMAX], output="s"), labels=labels, licence="MIT", source="a friend")
    assert read_bundle(bundle.folder) == bundle
    spec = bundle.spec
    assert (spec.input.height, spec.input.width, spec.input.channels) == (SIDE, SIDE, 3)
    assert (spec.input.graph_mean, spec.input.graph_std) == (MEAN, STD)
    assert (spec.licence, spec.source, spec.precision, bundle.labels) == ("MIT", "a friend", "fp32", labels)
    (step,) = bundle.manifest.lineage.passes
    assert step.name == "import_onnx"
    assert step.parameters["taken_off"] == "Softmax"
    assert step.parameters["layout"] == "NCHW"
    written = onnx.load_from_string(bundle.read_model())
    facts = {entry.key: entry.value for entry in written.metadata_props}
    assert facts["names"] == repr(dict(enumerate(labels)))
    assert json.loads(facts["imgsz"]) == [SIDE, SIDE]
    assert facts["task"] == "classify"
    onnx.checker.check_model(written, full_check=True)
    assert [value.name for value in written.graph.input] == ["images"]
    assert [value.name for value in written.graph.output] == ["logits", "class_activation"]
    assert [output.name for output in spec.outputs] == ["logits", "class_activation"]
    check = bundle.check()
    np.testing.assert_allclose(run(bundle, check.pictures), check.outputs["logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [("N", 3, SIDE, SIDE), (1, 3, SIDE, SIDE)])
def test_a_pooled_head_gets_class_activation_maps(tmp_path: Path, shape: tuple[int | str, ...]) -> None:
    """By the paper's formula in float64, on features by ONNX's own evaluator."""
    made = model([*body(), SOFTMAX], output="s", shape=shape)
    bundle = take(tmp_path, made)
    batch = pictures(3)
    features = reference(model(body()), normalised(batch), "r").astype(np.float64)
    best = reference(model(body()), normalised(batch), "y").argmax(axis=1)
    expected = np.einsum("nc,nchw->nhw", weights()["fc.weight"].astype(np.float64)[best], features)
    got = open_graph(bundle.read_model(), "images")
    each = np.concatenate([np.asarray(got(batch[row : row + 1])["class_activation"]) for row in range(3)])
    np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-4)
    check = bundle.check()
    assert check.outputs["class_activation"].shape == (4, SIDE, SIDE)
    assert bundle.spec.offers_class_activation


def test_maps_that_do_not_explain_the_logits_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.onnx_agreement.map_error", lambda *_: float("nan"))
    bundle = take(tmp_path, model(body()))
    assert not bundle.spec.offers_class_activation
    assert [value.name for value in onnx.load_from_string(bundle.read_model()).graph.output] == ["logits"]


def test_a_bundles_own_graph_can_be_imported_again(tmp_path: Path) -> None:
    first = take(tmp_path, model(body()))
    again = take(tmp_path, onnx.load_from_string(first.read_model()))
    batch = pictures(3)
    np.testing.assert_allclose(run(again, batch), run(first, batch), atol=1e-5)
    assert again.spec.offers_class_activation


@pytest.mark.parametrize(
    ("last", "taken_off", "activation"),
    [
        ([SOFTMAX], "Softmax", "softmax"),
        ([node("Softmax", ["y"], "s", axis=-1)], "Softmax", "softmax"),
        ([node("LogSoftmax", ["y"], "s", axis=1)], "LogSoftmax", "softmax"),
        ([node("Sigmoid", ["y"], "s")], "Sigmoid", "sigmoid"),
        ([node("Softmax", ["y"], "t", axis=1), node("Identity", ["t"], "s")], "Softmax", "softmax"),
    ],
)
def test_logits_are_logits(tmp_path: Path, last: list[onnx.NodeProto], taken_off: str, activation: str) -> None:
    """What turns them into scores is taken off, and named as the activation."""
    made = model([*body(), *last], output="s")
    bundle = take(tmp_path, made)
    batch = pictures(3)
    assert_logits(bundle, batch, reference(model(body()), normalised(batch), "y"))
    assert bundle.spec.outputs[0].kind == "logits"
    assert bundle.spec.outputs[0].activation == activation
    assert bundle.manifest.lineage.passes[0].parameters["taken_off"] == taken_off


def test_a_softmax_called_logits(tmp_path: Path) -> None:
    """The name is free again once the softmax is gone."""
    made = model([*body(), node("Softmax", ["y"], "logits", axis=1)], output="logits")
    batch = pictures(3)
    assert_logits(take(tmp_path, made), batch, reference(made, normalised(batch), "y"))


def test_a_softmax_of_another_axis_stays(tmp_path: Path) -> None:
    """Over the rows of a batch of one it gives ones: nothing to take off, and the values stay."""
    made = model([*body(), node("Softmax", ["y"], "s", axis=0)], output="s")
    bundle = take(tmp_path, made)
    assert bundle.manifest.lineage.passes[0].parameters["taken_off"] is None
    assert bundle.spec.input.max_batch == 1
    assert_logits(bundle, pictures(2), np.ones((2, CLASSES), np.float32))


def test_a_softmax_written_out_gives_scores(tmp_path: Path) -> None:
    """Exp, sum and divide can't be taken off: the outputs are likelihoods and get no second softmax."""
    nodes = [node("Exp", ["y"], "e"), node("ReduceSum", ["e", "one"], "t"), node("Div", ["e", "t"], "s")]
    made = model([*body(), *nodes], output="s", constants={**weights(), "one": np.array([1])})
    bundle = take(tmp_path, made)
    batch = pictures(3)
    assert (bundle.spec.outputs[0].kind, bundle.spec.outputs[0].activation) == ("scores", "none")
    assert_logits(bundle, batch, reference(made, normalised(batch), "s"))


def test_classes_as_one_by_one_pictures(tmp_path: Path) -> None:
    """Old convolutional heads: (N, classes, 1, 1), with the softmax before the flattening."""
    head = weights()["fc.weight"].reshape(CLASSES, 6, 1, 1)
    nodes = [*body()[:3], node("Conv", ["p", "head"], "y"), SOFTMAX]
    made = model(nodes, output="s", constants={**weights(), "head": head})
    bundle = take(tmp_path, made)
    batch = pictures(3)
    assert_logits(bundle, batch, reference(made, normalised(batch), "y").reshape(3, CLASSES))
    flat = model([*nodes, node("Flatten", ["s"], "z", axis=1)], output="z", constants={**weights(), "head": head})
    assert_logits(take(tmp_path, flat), batch, reference(made, normalised(batch), "y").reshape(3, CLASSES))


def test_nhwc(tmp_path: Path) -> None:
    """The graph takes the picture as it lies in memory."""
    made = model([node("Transpose", ["x"], "t", perm=[0, 3, 1, 2]), *body("t")], shape=("n", SIDE, 10, 3))
    bundle = take(tmp_path, made)
    batch = pictures(3, width=10)
    assert (bundle.spec.input.height, bundle.spec.input.width) == (SIDE, 10)
    assert bundle.spec.input.resize.mode == "stretch"
    assert_logits(bundle, batch, reference(model(body()), normalised(batch), "y"))


def test_grey(tmp_path: Path) -> None:
    """One channel."""
    made = model(body(), shape=(1, 1, 28, 28), constants=weights(1))
    bundle = take(tmp_path, made, mean=(33.3,), std=(78.6,))
    batch = pictures(3, 1, 28, 28)
    assert (bundle.spec.input.colour, bundle.spec.input.channels) == ("grey", 1)
    assert_logits(bundle, batch, one_at_a_time(made, normalised(batch, (33.3,), (78.6,)), "y"))


def test_float16(tmp_path: Path) -> None:
    """Halves inside, float32 outside."""
    made = model(body(), constants=weights(dtype=np.float16), element=TensorProto.FLOAT16)
    bundle = take(tmp_path, made)
    batch = pictures(3)
    assert bundle.spec.precision == "fp16"
    expected = reference(model(body()), normalised(batch), "y")
    assert_logits(bundle, batch, expected, rtol=0.02, atol=0.02)


def test_uint8(tmp_path: Path) -> None:
    """A graph that normalises by itself is left to do so."""
    nodes = [node("Cast", ["x"], "v", to=TensorProto.FLOAT), node("Div", ["v", "scale"], "u"), *body("u")]
    constants = {**weights(), "scale": np.array(255, np.float32)}
    made = model(nodes, element=TensorProto.UINT8, output_element=TensorProto.FLOAT, constants=constants)
    bundle = take(tmp_path, made)
    batch = pictures(3)
    assert (bundle.spec.input.graph_mean, bundle.spec.input.graph_std) == ((0.0,) * 3, (1.0,) * 3)
    assert_logits(bundle, batch, one_at_a_time(made, batch.transpose(0, 3, 1, 2), "y"))
    with pytest.raises(ImportRefusedError, match="normalises them itself"):
        take(tmp_path, made, mean=MEAN)


def test_quantised(tmp_path: Path) -> None:
    """QuantizeLinear inside makes an INT8 bundle."""
    quantise = [
        node("QuantizeLinear", ["x", "scale", "zero"], "q"),
        node("DequantizeLinear", ["q", "scale", "zero"], "d"),
        *body("d"),
    ]
    constants = {**weights(), "scale": np.array(0.02, np.float32), "zero": np.array(120, np.uint8)}
    made = model(quantise, constants=constants, opset=19, ir_version=9)
    bundle = take(tmp_path, made)
    batch = pictures(3)
    assert bundle.spec.precision == "int8"
    assert_logits(bundle, batch, one_at_a_time(made, normalised(batch), "y"), atol=0.05)


def test_a_batch_that_can_not_be_opened_stays_one(tmp_path: Path) -> None:
    """A class token for one picture is joined to the rows: the manifest says so."""
    made = model(
        [*body(), node("Concat", ["y", "token"], "z", axis=1)],
        output="z",
        constants={**weights(), "token": np.full((1, 1), 0.25, np.float32)},
    )
    bundle = take(tmp_path, made)
    batch = pictures(3)
    assert bundle.spec.input.max_batch == 1
    assert_logits(bundle, batch, one_at_a_time(made, normalised(batch), "z"))


def test_a_graph_that_mixes_pictures_is_not_batched(tmp_path: Path) -> None:
    """It runs with any N and gives other answers: measured, not believed."""
    nodes = [node("ReduceMean", ["x"], "m", axes=[0], keepdims=1), node("Sub", ["x", "m"], "v")]
    bundle = take(tmp_path, model([*nodes, *body("v")], shape=("n", 3, SIDE, SIDE)))
    assert bundle.spec.input.max_batch == 1


def test_functions_of_the_file_itself(tmp_path: Path) -> None:
    """Operators that the file defines in ONNX's own are inlined."""
    made = model([node("Clip01", ["x"], "v", domain="theirs"), *body("v")], domains=["theirs"])
    opset = [helper.make_opsetid("", 17)]
    made.functions.append(
        helper.make_function("theirs", "Clip01", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opset)
    )
    batch = pictures(3)
    bundle = take(tmp_path, made)
    assert_logits(bundle, batch, reference(model(body()), np.maximum(normalised(batch), 0), "y"))


def test_names_and_size_from_the_metadata(tmp_path: Path) -> None:
    """As Ultralytics writes them; its classifiers take pixels / 255."""
    names = {4: "e", 0: "a's", 1: "b", 2: "c", 3: "d"}
    facts = {"names": str(names), "imgsz": f"[{SIDE}, {SIDE}]", "author": "Ultralytics", "task": "classify"}
    made = model(body("images"), source="images", shape=("n", 3, "h", "w"), metadata=facts)
    bundle = take(tmp_path, made, mean=None)
    batch = pictures(2)
    assert bundle.labels == ("a's", "b", "c", "d", "e")
    assert bundle.spec.input.resize.size == SIDE
    assert bundle.spec.input.graph_std == (255.0,) * 3
    scaled = (batch / 255).transpose(0, 3, 1, 2).astype(np.float32)
    assert_logits(bundle, batch, reference(made, scaled, "y"))


@pytest.mark.parametrize("names", ['{"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}', "['a', 'b', 'c', 'd', 'e']"])
def test_names_in_other_forms(tmp_path: Path, names: str) -> None:
    """JSON, and a list."""
    assert take(tmp_path, model(body(), metadata={"names": names})).labels == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    "names",
    [
        "__import__('os').system('touch x')",
        "{0: 'a', 2: 'b'}",
        "{0: 1}",
        "{'x': 'a'}",
        "7",
        "[" * 5000,
        "{0: open('x')}",
    ],
)
def test_names_are_never_evaluated(tmp_path: Path, names: str) -> None:
    """Literals or nothing."""
    with pytest.raises(ImportRefusedError, match="--labels"):
        take(tmp_path, model(body(), metadata={"names": names}))


def external() -> onnx.ModelProto:
    """Weights in another file."""
    made = model(body())
    made.graph.initializer[0].ClearField("raw_data")
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")
    return made


def two_inputs() -> onnx.ModelProto:
    """A picture and something else."""
    made = model([*body(), node("Add", ["y", "z"], "w")], output="w")
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, CLASSES]))
    return made


def sequence() -> onnx.ModelProto:
    """A list of tensors at the end."""
    made = model([*body(), node("SequenceConstruct", ["y"], "z")], output="z")
    value = helper.make_tensor_sequence_value_info("z", TensorProto.FLOAT, None)
    made.graph.output[0].CopyFrom(value)
    return made


def two_heads() -> onnx.ModelProto:
    """Which are the classes?"""
    made = model([*body(), node("Neg", ["y"], "z")])
    made.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    return made


ZERO = {**weights(), "fc.weight": np.zeros((0, 6), np.float32), "fc.bias": np.zeros(0, np.float32)}
REFUSED: dict[str, tuple[onnx.ModelProto, dict[str, Any], str]] = {
    "weights in another file": (external(), {}, "external data"),
    "several inputs": (two_inputs(), {}, r"2 inputs \(x, z\)"),
    "three dimensions": (model([node("Relu", ["x"], "y")], shape=(1, 3, SIDE)), {}, "3 dimensions"),
    "four channels": (model(body(), shape=(1, 4, SIDE, SIDE), constants=weights(4)), {}, "no side of 3"),
    "ambiguous layout": (model(body(), shape=("n", 3, SIDE, 3)), {}, "--layout"),
    "wrong layout asked": (model(body()), {"layout": "NHWC"}, "not NHWC"),
    "int64 input": (model([node("Cast", ["x"], "v", to=1), *body("v")], element=TensorProto.INT64), {}, "is int64"),
    "double input": (model(body(), element=TensorProto.DOUBLE, constants=weights(dtype=np.float64)), {}, "is double"),
    "height open": (model(body(), shape=(1, 3, "h", SIDE)), {}, "--height"),
    "another height asked": (model(body()), {"height": 64}, "12 only, not 64"),
    "huge": (model(body(), shape=(1, 3, "h", "w")), {"height": 5000, "width": 1}, "1 to 4096"),
    "operators of its own": (
        model([*body(), node("Secret", ["y"], "z", domain="theirs")], output="z", domains=["theirs"]),
        {},
        "theirs.Secret",
    ),
    "no operator at all": (model([], output="x"), {}, "0 operators"),
    "unknown operator": (model([*body(), node("Nonsense", ["y"], "z")], output="z"), {}, "onnxruntime does not take"),
    "class numbers, not scores": (
        model([*body(), node("ArgMax", ["y"], "z", axis=1)], output="z", output_element=TensorProto.INT64),
        {},
        "no output has the shape",
    ),
    "feature maps": (model(body()[:2], output="r"), {}, "no output has the shape"),
    "a sequence": (sequence(), {}, "no output has the shape"),
    "no classes": (model(body(), constants=ZERO), {}, "no output has the shape"),
    "two heads": (two_heads(), {}, "--output"),
    "an output that is not there": (model(body()), {"output": "nope"}, "--output"),
    "NaN": (
        model(
            [*body(), node("Log", ["n"], "l"), node("Mul", ["y", "l"], "z")],
            output="z",
            constants={**weights(), "n": np.array(-1, np.float32)},
        ),
        {},
        "NaN",
    ),
    "batch of four joined": (
        model(
            [*body(), node("Add", ["y", "b"], "z")],
            output="z",
            shape=(4, 3, SIDE, SIDE),
            constants={**weights(), "b": np.arange(4, dtype=np.float32).reshape(4, 1)},
        ),
        {},
        "batches of exactly 4",
    ),
    "too few labels": (model(body()), {"labels": ("a", "b")}, "5 classes, the labels given 2"),
    "metadata of other classes": (model(body(), metadata={"names": "['a']"}), {}, "metadata 1 names"),
    "fractions": (
        model(body()),
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        r"--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375\?",
    ),
    "halves": (model(body()), {"mean": (0.5,) * 3, "std": (0.5,) * 3}, "127.5,127.5,127.5"),
    "one mean for three channels": (model(body()), {"mean": (127.5,)}, "3 numbers each"),
    "std of zero": (model(body()), {"std": (0.0, 1.0, 1.0)}, "above 0"),
    "mean not a number": (model(body()), {"mean": (float("nan"),) * 3}, "finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    """And nothing is written."""
    made, options, reason = REFUSED[case]
    with pytest.raises(ModelZooError, match=reason):
        take(tmp_path, made, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x04\x95", b"\x00" * 100, bytes(range(256))])
def test_what_is_not_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    """Empty, a zip, a pickle, noise."""
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(BundleError, match="not an ONNX model"):
        import_onnx(path, name="stranger", store=tmp_path / "store")
    with pytest.raises(ImportRefusedError, match="can't be read"):
        import_onnx(tmp_path / "absent.onnx", name="stranger", store=tmp_path / "store")


def test_a_bad_name_is_said_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="can't be a model's name"):
        import_onnx(tmp_path / "absent.onnx", name="Bad Name", store=tmp_path / "store")


def test_imported_twice_is_the_same_model(tmp_path: Path) -> None:
    """Byte for byte, in two versions."""
    first, second = (take(tmp_path, TAKEN["opset 8"]) for _ in range(2))
    assert (first.spec.version, second.spec.version) == (1, 2)
    assert first.read_model() == second.read_model()


def test_the_layout_flag_settles_what_the_shape_does_not(tmp_path: Path) -> None:
    """(N, 3, 12, 3) as NCHW: three pixels wide."""
    made = model(body(), shape=("n", 3, SIDE, 3))
    bundle = take(tmp_path, made, layout="NCHW")
    batch = pictures(2, width=3)
    assert (bundle.spec.input.height, bundle.spec.input.width) == (SIDE, 3)
    assert_logits(bundle, batch, reference(made, normalised(batch), "y"))


def test_resize_options(tmp_path: Path) -> None:
    """The usual evaluation crop unless told otherwise."""
    made = model(body(), shape=("n", 3, "h", "w"))
    usual = take(tmp_path, made, height=224, width=224).spec.input
    assert (usual.resize.mode, usual.resize.size, usual.resize.filter, usual.crop) == (
        *("shorter_side", 256, "bilinear"),
        "centre",
    )
    told = take(tmp_path, made, height=64, width=64, resize_mode="letterbox", resize_filter="bicubic").spec.input
    assert (told.resize.mode, told.resize.filter, told.crop) == ("letterbox", "bicubic", "none")
