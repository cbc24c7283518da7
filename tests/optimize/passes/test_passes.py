"""What every entry of the table promises."""

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from model_zoo.graph_class_activation import add_class_activation, map_error
from model_zoo.graph_tidy import set_metadata
from optimize.errors import PassError, RecipeError, UnknownPassError
from optimize.judging.arithmetic import open_model
from optimize.passes import PASSES, load_pass
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import pictures, residual_net

# Mild enough that a small net answers nearly as before; what is not here is run as it comes.
PARAMETERS: dict[str, list[dict[str, object]]] = {
    "sparsify": [{"share": 0.03}],
    "cluster_weights": [{"least_weights": 128}],
    "float16": [{}, {"form": "compute"}],
}
CASES = [(name, parameters) for name in PASSES for parameters in PARAMETERS.get(name, [{}])]
every_case = pytest.mark.parametrize(
    ("name", "parameters"), CASES, ids=[f"{name}-{json.dumps(p)}" for name, p in CASES]
)


@every_case
def test_output_takes_and_gives_what_the_input_did(name: str, parameters: dict[str, object]) -> None:
    parent = onnx.load_from_string(redundant_net())
    set_metadata(parent, {"task": "classify", "imgsz": "[16, 16]", "names": "{0: 'a'}"})
    smaller = onnx.load_from_string(load_pass(name).run(parent.SerializeToString(), pictures(16), parameters))
    assert list(smaller.graph.input) == list(parent.graph.input)
    assert list(smaller.graph.output) == list(parent.graph.output)
    assert list(smaller.metadata_props) == list(parent.metadata_props)


@every_case
def test_a_class_activation_map_is_kept(name: str, parameters: dict[str, object]) -> None:
    """The logits stay as they are without it; the map is nearly the parent's, and explains the new logits.

    Where the graph computes in float16, a CPU's runtime chooses where it rounds, and not the same with the map.
    """
    parent = onnx.load_from_string(redundant_net())
    plain = load_pass(name).run(parent.SerializeToString(), pictures(32), parameters)
    assert add_class_activation(parent)
    model = parent.SerializeToString()
    smaller = load_pass(name).run(model, pictures(32), parameters)
    assert [output.name for output in onnx.load_from_string(smaller).graph.output] == ["logits", "class_activation"]
    unseen = pictures(64, seed=1)
    logits, maps = (open_model(smaller, "reference", output=one)(unseen) for one in ("logits", "class_activation"))
    rounding = 1e-3 if parameters.get("form") == "compute" else 0
    np.testing.assert_allclose(logits, open_model(plain, "reference")(unseen), rtol=0, atol=rounding)
    assert map_error(parent, logits, maps) < 0.02
    same = logits.argmax(axis=1) == open_model(model, "reference")(unseen).argmax(axis=1)
    expected = open_model(model, "reference", output="class_activation")(unseen)
    assert same.mean() > 0.9
    assert np.sqrt(((maps - expected)[same] ** 2).mean()) < 0.05 * expected.std()


@every_case
def test_same_arguments_give_the_same_bytes(name: str, parameters: dict[str, object]) -> None:
    first, second = (load_pass(name).run(redundant_net(), pictures(8), parameters) for _ in range(2))
    assert first == second


@every_case
@pytest.mark.parametrize("net", [residual_net, redundant_net])
def test_small_net_answers_nearly_as_before(name: str, parameters: dict[str, object], net: Callable[[], bytes]) -> None:
    model = net()
    smaller = load_pass(name).run(model, pictures(32), parameters)
    unseen = pictures(64, seed=1)
    expected, got = open_model(model, "reference")(unseen), open_model(smaller, "reference")(unseen)
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.05 * expected.std()


@every_case
def test_what_the_runtime_makes_of_it_answers_as_the_graph_says(name: str, parameters: dict[str, object]) -> None:
    smaller = load_pass(name).run(redundant_net(), pictures(32), parameters)
    unseen = pictures(16, seed=1)
    expected, got = open_model(smaller, "reference")(unseen), open_model(smaller, "exact")(unseen)
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("chain", [("fold", "low_rank", "sparsify", "quantize_int8"), ("low_rank", "cluster_weights")])
def test_passes_follow_each_other(chain: tuple[str, ...]) -> None:
    parent = onnx.load_from_string(redundant_net())
    assert add_class_activation(parent)
    model = parent.SerializeToString()
    smaller = model
    for name in chain:
        smaller = load_pass(name).run(smaller, pictures(32), PARAMETERS.get(name, [{}])[0])
        assert len(smaller) <= len(model)
    unseen = pictures(64, seed=1)
    expected, got = (open_model(one, "exact")(unseen) for one in (model, smaller))
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.1 * expected.std()


@pytest.mark.parametrize("name", ["float16", "cluster_weights", "sparse_storage", "low_rank"])
def test_openvino_answers_as_the_graph_says(name: str) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install 'quickeye[fast]'")
    smaller = load_pass(name).run(redundant_net(), pictures(32), PARAMETERS.get(name, [{}])[0])
    engine = openvino.Core()
    model = engine.compile_model(engine.read_model(smaller, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = open_model(smaller, "reference")(pictures(8))
    np.testing.assert_allclose(model(pictures(8))[0], expected, atol=1e-4)


@pytest.mark.parametrize("name", PASSES)
def test_unknown_parameter_is_refused_by_name(name: str) -> None:
    with pytest.raises(RecipeError, match="no_such_thing"):
        load_pass(name).configure({"no_such_thing": 1})


@every_case
def test_no_pictures_are_refused_where_they_are_needed(name: str, parameters: dict[str, object]) -> None:
    model, none, some = redundant_net(), pictures(4)[:0], pictures(4)
    if load_pass(name).needs_pictures:
        with pytest.raises(PassError, match="pictures"):
            load_pass(name).run(model, none, parameters)
    else:
        assert load_pass(name).run(model, none, parameters) == load_pass(name).run(model, some, parameters)


@pytest.mark.parametrize("name", sorted(set(PASSES) - {"quantize_int8"}))
def test_what_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(PassError, match="not an ONNX model"):
        load_pass(name).run(b"\x08\x0a nothing", pictures(4), {})


def test_unknown_pass_names_those_there_are() -> None:
    with pytest.raises(UnknownPassError, match="quantize_int8"):
        load_pass("quantise")
