"""Codebooks, against scikit-learn's k-means."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from sklearn.cluster import KMeans

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.passes import load_pass
from optimize.passes.cluster_weights import codebook
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import make_model, pictures

NONE = pictures(1)[:0]


def weights_of(model: bytes, tmp_path: Path) -> dict[str, np.ndarray]:
    """Constants of the graph that the runtime runs, by their numbers of weights."""
    open_model(model, "fast", save_optimised=tmp_path / "optimised.onnx")
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(tmp_path / "optimised.onnx").graph.initializer}


@pytest.mark.parametrize(("n", "entries"), [(2000, 8), (3000, 32), (6000, 100)])
@pytest.mark.parametrize("kind", ["normal", "heavy_tails", "two_lumps"])
def test_squared_error_is_that_of_good_k_means(n: int, entries: int, kind: str) -> None:
    draw = np.random.default_rng(n)
    normal, signs = draw.standard_normal(n), draw.choice([-1.0, 1.0], n)
    weights = {"normal": normal, "heavy_tails": draw.standard_t(4, n), "two_lumps": signs * (1 + 0.1 * normal)}[kind]
    table, codes = codebook(weights, entries)
    assert len(table) == entries and codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, np.abs(weights[:, None] - table).argmin(axis=1))
    best = KMeans(entries, n_init=3, random_state=0).fit(weights[:, None]).inertia_
    assert ((weights - table[codes]) ** 2).sum() < 1.12 * best


def test_few_values_are_kept_exactly() -> None:
    weights = np.random.default_rng(0).choice([-1.5, 0.0, 0.1, 7.0], 1000).astype(np.float32)
    table, codes = codebook(weights.astype(np.float64), 16)
    np.testing.assert_array_equal(table[codes].astype(np.float32), weights)


@pytest.mark.parametrize(("entries", "bits"), [(256, 8), (17, 8), (16, 4), (5, 4)])
def test_layers_have_that_many_values_in_so_many_bits(entries: int, bits: int, tmp_path: Path) -> None:
    model = redundant_net()
    smaller = load_pass("cluster_weights").run(model, NONE, {"entries": entries, "least_weights": 800})
    saved = (864 + 1536) * (4 - bits / 8) - 2 * 4 * (512 if bits == 4 else entries)
    assert len(model) - len(smaller) == pytest.approx(saved, abs=800)
    before, after = weights_of(model, tmp_path), weights_of(smaller, tmp_path)
    layers = {array.size: array for array in after.values() if array.size in (864, 1536)}
    assert sorted(len(np.unique(array)) for array in layers.values()) == [entries, entries]
    assert sorted(array.size for array in before.values()) == sorted(array.size for array in after.values())


@pytest.mark.parametrize("entries", [16, 256])
def test_the_runtime_looks_up_once_when_it_loads(entries: int, tmp_path: Path) -> None:
    def operators(model: bytes) -> list[str]:
        open_model(model, "fast", save_optimised=tmp_path / "optimised.onnx")
        return [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]

    clustered = load_pass("cluster_weights").run(redundant_net(), NONE, {"entries": entries, "least_weights": 100})
    assert operators(clustered) == operators(redundant_net())


def test_small_and_depthwise_layers_stay() -> None:
    smaller = load_pass("cluster_weights").run(redundant_net(), NONE, {"entries": 16, "least_weights": 200})
    names = {one.name for one in onnx.load_from_string(smaller).graph.initializer}
    assert {"deep.weight", "stem.bias"} <= names
    assert not names & {"stem.weight", "point.weight", "head.weight"}


def test_an_odd_number_of_weights_takes_a_byte_each() -> None:
    weights = np.random.default_rng(0).choice([-1, 0.5, 2], (5, 3)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
    ]
    model = make_model(nodes, {"head.weight": weights, "head.bias": np.zeros(5, np.float32)}, "flat")
    smaller = load_pass("cluster_weights").run(model, NONE, {"entries": 4, "least_weights": 8})
    assert "head.weight/codes" in {one.name for one in onnx.load_from_string(smaller).graph.initializer}
    expected, got = (open_model(one, "fast")(pictures(3)) for one in (model, smaller))
    np.testing.assert_array_equal(got, expected)


def test_what_is_no_number_is_refused() -> None:
    model = onnx.load_from_string(redundant_net())
    array = np.full((32, 3, 3, 3), np.inf, np.float32)
    next(one for one in model.graph.initializer if one.name == "stem.weight").CopyFrom(
        numpy_helper.from_array(array, "stem.weight")
    )
    with pytest.raises(PassError, match=r"'stem.weight' hold what is no number"):
        load_pass("cluster_weights").run(model.SerializeToString(), NONE, {"least_weights": 100})
