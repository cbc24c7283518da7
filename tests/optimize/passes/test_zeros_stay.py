"""Passes after zeros came leave them zeros."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from optimize.judging.arithmetic import open_model
from optimize.judging.zeros import Zeros, zeros_of
from optimize.passes import load_pass
from optimize.passes.cluster_weights import codebook
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import pictures


def zero_places(model: bytes) -> dict[str, np.ndarray]:
    """By the weights' names, of those that are stored dense."""
    return {one.name: numpy_helper.to_array(one) == 0 for one in onnx.load_from_string(model).graph.initializer}


@pytest.mark.parametrize("pattern", [{"share": 0.5}, {"share": 0.9}, {"pattern": "2:4"}])
@pytest.mark.parametrize("pair_safe", [True, False])
def test_8_bits_leave_zeros_zeros(pattern: dict[str, object], pair_safe: bool) -> None:
    sparse = load_pass("sparsify").run(redundant_net(), pictures(1)[:0], pattern)
    whole = load_pass("quantize_int8").run(sparse, pictures(32), {"pair_safe": pair_safe})
    before, after = zero_places(sparse), zero_places(whole)
    for name in ("stem.weight", "point.weight", "head.weight"):
        assert after[f"{name}/codes"][before[name]].all(), name


def test_8_bits_of_a_net_with_zeros_answer_as_it_does() -> None:
    sparse = load_pass("sparsify").run(redundant_net(), pictures(1)[:0], {"share": 0.5})
    whole = load_pass("quantize_int8").run(sparse, pictures(32), {})
    expected, got = (open_model(one, "reference")(pictures(64, seed=1)) for one in (sparse, whole))
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.05 * expected.std()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fold", {}),
        ("float16", {}),
        ("cluster_weights", {"least_weights": 100}),
        ("cluster_weights", {"least_weights": 100, "entries": 16}),
        ("cluster_weights", {"least_weights": 100, "entries": 2}),
        ("sparse_storage", {}),
    ],
)
def test_every_stored_form_leaves_zeros_zeros(name: str, parameters: dict[str, object]) -> None:
    sparse = load_pass("sparsify").run(redundant_net(), pictures(1)[:0], {"share": 0.6})
    assert zeros_of(load_pass(name).run(sparse, pictures(4), parameters)).zeros >= zeros_of(sparse).zeros


@pytest.mark.parametrize("entries", [2, 3, 16, 200])
def test_one_of_a_codebook_s_entries_is_0_where_weights_are(entries: int) -> None:
    draw = np.random.default_rng(0)
    weights = draw.standard_normal(3000) + 0.3
    weights[draw.random(3000) < 0.4] = 0
    table, codes = codebook(weights, entries)
    assert len(table) <= entries
    np.testing.assert_array_equal(table[codes][weights == 0], 0)
    np.testing.assert_array_equal(codes, np.abs(weights[:, None] - table).argmin(axis=1))


def test_zeros_are_counted_as_the_layers_get_them() -> None:
    dense = redundant_net()
    count = 32 * 27 + 32 * 9 + 48 * 32 + 10 * 48
    assert zeros_of(dense) == Zeros(0, count)
    assert Zeros(0, 0).share == 0
    sparse = load_pass("sparsify").run(dense, pictures(1)[:0], {"share": 0.6})
    assert zeros_of(sparse) == Zeros(round(0.6 * (count - 32 * 9)), count)
