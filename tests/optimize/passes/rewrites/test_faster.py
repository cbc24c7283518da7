"""What is kept of rewrites that were timed; the clock is a fake."""

from collections.abc import Collection

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.judging.fused import work_of
from optimize.passes import load_pass, rewrites
from optimize.passes.rewrites.faster import Timed, keep_faster
from tests.optimize.passes.rewrites.odd_net import odd_net
from tests.optimize.small_nets import pictures

SHOWN = pictures(4)


def timed(faster: float, spread: float = 0.01, throughput: float | None = None) -> Timed:
    many = faster if throughput is None else throughput
    return Timed(faster=faster, spread=spread, throughput=many, throughput_spread=spread)


class FakeClock:
    """Products, and filled-up channels, take so much of the time; what was asked is kept."""

    def __init__(self, product: float = 1.0, eight: float = 1.0, spread: float = 0.01) -> None:
        self.product, self.eight, self.spread = product, eight, spread
        self.asked: list[int] = []

    def __call__(self, changed: bytes, model: bytes) -> Timed:
        self.asked.append(_products(changed))
        return timed(self._speed(changed) / self._speed(model), self.spread)

    def _speed(self, model: bytes) -> float:
        widths = [one.dims[0] for one in onnx.load_from_string(model).graph.initializer if len(one.dims) == 4]
        eights = sum(width % 8 == 0 for width in widths)
        return float(self.product ** _products(model) * self.eight**eights)


def _products(model: bytes) -> int:
    return sum(node.op_type == "MatMul" for node in onnx.load_from_string(model).graph.node)


def test_what_is_faster_is_kept_and_answers_the_same() -> None:
    kept, said = keep_faster(odd_net(), SHOWN, FakeClock(product=1.1))
    assert _products(kept) == 5
    assert said[2] == (
        "pointwise_products: kept; 1.61× (± 0.01) of 5 layers, 1.33× (± 0.01) of 3 layers, 1.21× (± 0.01) of 2 layers"
    )
    old, new = (open_model(one, "reference")(SHOWN) for one in (odd_net(), kept))
    np.testing.assert_allclose(new, old, atol=1e-4)


def test_where_nothing_is_faster_the_graph_comes_back_as_it_is() -> None:
    kept, said = keep_faster(odd_net(), SHOWN, FakeClock(product=0.9))
    assert kept == odd_net()
    assert len(said) == len(rewrites.REWRITES)
    assert all("not kept" in one for one in said)


@pytest.mark.parametrize(
    ("answer", "is_kept"),
    [
        (timed(1.03, 0.01), True),
        (timed(1.019, 0.001), False),
        (timed(1.5, 0.26), False),
        (timed(1.1, 0.01, throughput=0.99), True),
        (timed(1.1, 0.01, throughput=0.9), False),
    ],
    ids=["clear", "too little", "within the spread", "no slower in batches", "slower in batches"],
)
def test_clearly_faster(answer: Timed, is_kept: bool) -> None:
    assert answer.is_clearly_faster is is_kept
    assert (keep_faster(odd_net(), SHOWN, lambda *_: answer)[0] != odd_net()) is is_kept


def test_some_layers_may_be_better_than_all() -> None:
    class Few(FakeClock):
        def __call__(self, changed: bytes, model: bytes) -> Timed:
            self.asked.append(_products(changed))
            return timed({0: 1.0, 2: 1.3, 3: 1.2}.get(_products(changed), 0.5))

    clock = Few()
    kept, _ = keep_faster(odd_net(), SHOWN, clock)
    assert [count for count in clock.asked if count] == [5, 3, 2]
    assert {node.name for node in onnx.load_from_string(kept).graph.node if node.op_type == "MatMul"} == {
        "a.thin",
        "b.thin",
    }


def test_each_begins_with_what_was_kept_of_those_before() -> None:
    kept, said = keep_faster(odd_net(), SHOWN, FakeClock(product=1.3, eight=1.1))
    assert _products(kept) == 5
    assert work_of(kept)["a.wide"] * 18 == work_of(odd_net())["a.wide"] * 24
    assert [one.partition(":")[2].split(";")[0].strip() for one in said] == ["not kept", "kept", "kept"]


def test_in_integers_too() -> None:
    model = load_pass("quantize_int8").run(odd_net(), pictures(16), {})
    kept, _ = keep_faster(model, SHOWN, lambda *_: timed(1.2))
    assert sum(node.op_type == "Gemm" for node in onnx.load_from_string(kept).graph.node) == 6
    old, new = (open_model(one, "exact")(pictures(16, seed=2)) for one in (model, kept))
    np.testing.assert_array_equal(new, old)


def only(monkeypatch: pytest.MonkeyPatch, rewrite: rewrites.Rewrite) -> None:
    monkeypatch.setattr(rewrites, "REWRITES", {"bad": "nowhere"})
    for module in ("optimize.passes.rewrites.faster", "optimize.passes.rewrites"):
        monkeypatch.setattr(f"{module}.load_rewrite", lambda _: rewrite)
    monkeypatch.setattr("optimize.passes.rewrites.faster.REWRITES", {"bad": "nowhere"})


def never(*_: bytes) -> Timed:
    raise AssertionError("it must not be timed")


def test_what_answers_otherwise_is_not_even_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_bias(model: onnx.ModelProto, wanted: Collection[str] | None = None) -> list[str]:
        bias = next(one for one in model.graph.initializer if one.name == "head.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.1, bias.name))
        return ["head"]

    only(monkeypatch, other_bias)
    kept, said = keep_faster(odd_net(), SHOWN, never)
    assert kept == odd_net()
    assert said == ("bad: not kept; of 1 layers: logits would differ by 0.1",)


def test_what_leaves_the_integers_is_not_even_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rounding less, and the runtime computes the layer in float."""

    def unrounded(model: onnx.ModelProto, wanted: Collection[str] | None = None) -> list[str]:
        layer = next(node for node in model.graph.node if node.name == "a.wide")
        rounding = next(node for node in model.graph.node if layer.output[0] in node.input)
        real = next(node for node in model.graph.node if rounding.output[0] in node.input)
        for node in model.graph.node:
            node.input[:] = [layer.output[0] if name == real.output[0] else name for name in node.input]
        return ["a.wide"]

    only(monkeypatch, unrounded)
    model = load_pass("quantize_int8").run(odd_net(), pictures(16), {})
    kept, said = keep_faster(model, SHOWN, never)
    assert kept == model
    assert "would be computed in integers, and 100% is" in said[0]


def test_what_the_engine_does_not_take_is_said_and_not_kept() -> None:
    def refuses(*_: bytes) -> Timed:
        raise PassError("the engine is of another opinion")

    kept, said = keep_faster(odd_net(), SHOWN, refuses)
    assert kept == odd_net()
    assert "of 5 layers: the engine is of another opinion" in said[2]


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(PassError, match="not an ONNX model"):
        keep_faster(b"\x08\x0a nothing", SHOWN, never)
