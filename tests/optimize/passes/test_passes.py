"""What every entry of the table promises."""

import numpy as np
import onnx
import pytest

from model_zoo.graph_class_activation import add_class_activation, map_error
from optimize.errors import PassError, RecipeError, UnknownPassError
from optimize.judging.arithmetic import open_model
from optimize.passes import PASSES, load_pass
from tests.optimize.small_nets import pictures, residual_net


@pytest.mark.parametrize("name", PASSES)
def test_output_takes_and_gives_what_the_input_did(name: str) -> None:
    model = residual_net()
    smaller = load_pass(name).run(model, pictures(16), {})
    before, after = onnx.load_from_string(model).graph, onnx.load_from_string(smaller).graph
    assert list(after.input) == list(before.input)
    assert list(after.output) == list(before.output)


@pytest.mark.parametrize("name", PASSES)
def test_a_class_activation_map_is_kept(name: str) -> None:
    """The logits stay as they are without it; the map is nearly the parent's, and explains the new logits."""
    parent = onnx.load_from_string(residual_net())
    plain = load_pass(name).run(parent.SerializeToString(), pictures(32), {})
    assert add_class_activation(parent)
    model = parent.SerializeToString()
    smaller = load_pass(name).run(model, pictures(32), {})
    assert [output.name for output in onnx.load_from_string(smaller).graph.output] == ["logits", "class_activation"]
    unseen = pictures(64, seed=1)
    logits, maps = (open_model(smaller, "reference", output=one)(unseen) for one in ("logits", "class_activation"))
    np.testing.assert_array_equal(logits, open_model(plain, "reference")(unseen))
    assert map_error(onnx.load_from_string(smaller), logits, maps) < 0.02
    same = logits.argmax(axis=1) == open_model(model, "reference")(unseen).argmax(axis=1)
    expected = open_model(model, "reference", output="class_activation")(unseen)
    assert same.mean() > 0.9
    assert np.sqrt(((maps - expected)[same] ** 2).mean()) < 0.05 * expected.std()


@pytest.mark.parametrize("name", PASSES)
def test_same_arguments_give_the_same_bytes(name: str) -> None:
    assert load_pass(name).run(residual_net(), pictures(8), {}) == load_pass(name).run(residual_net(), pictures(8), {})


@pytest.mark.parametrize("name", PASSES)
def test_small_net_answers_nearly_as_before(name: str) -> None:
    model = residual_net()
    smaller = load_pass(name).run(model, pictures(32), {})
    unseen = pictures(64, seed=1)
    expected, got = open_model(model, "reference")(unseen), open_model(smaller, "reference")(unseen)
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.05 * expected.std()


@pytest.mark.parametrize("name", PASSES)
def test_unknown_parameter_is_refused_by_name(name: str) -> None:
    with pytest.raises(RecipeError, match="no_such_thing"):
        load_pass(name).configure({"no_such_thing": 1})


@pytest.mark.parametrize("name", PASSES)
def test_without_pictures_is_refused(name: str) -> None:
    with pytest.raises(PassError, match="pictures"):
        load_pass(name).run(residual_net(), pictures(4)[:0], {})


def test_unknown_pass_names_those_there_are() -> None:
    with pytest.raises(UnknownPassError, match="quantize_int8"):
        load_pass("quantise")
