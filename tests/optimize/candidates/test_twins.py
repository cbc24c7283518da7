"""The graph for TensorRT: judged beside the 8-bit bundle it comes with, and published or left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model_zoo.bundle import Bundle
from model_zoo.store import Store
from optimize.candidates.made import Made
from optimize.candidates.result import Result, Twin
from optimize.judging.arithmetic import open_model
from optimize.judging.predictions import Predictions
from optimize.passes import quantize_int8
from tests.optimize.candidates.colours import colour_recipe, four_times_as_fast, optimized

STEP = {"name": "quantize_int8", "symmetric_twin": True}


@pytest.fixture(autouse=True)
def _nothing_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    four_times_as_fast(monkeypatch)


def run(tmp_path: Path, *steps: object) -> tuple[Result, Bundle]:
    candidate = [{"name": "int8", "steps": [STEP, *steps]}]
    result = optimized(colour_recipe(tmp_path, candidate=candidate), tmp_path / "run")
    return result, Store(tmp_path / "run" / "store").open("shades-int8")


def told(result: Result) -> Twin:
    twin = result.candidate("int8").twin
    assert twin is not None
    return twin


def said(tmp_path: Path, bundle: Bundle) -> list[str]:
    """The card and both reports."""
    texts = [one.read_text() for one in (tmp_path / "run").glob("*.html")]
    assert texts
    return [bundle.read("CARD.md").decode(), *texts]


def test_a_twin_is_published_with_its_figures(tmp_path: Path) -> None:
    result, bundle = run(tmp_path)
    assert told(result).is_kept
    assert "model.s8.onnx" in {one.path for one in bundle.manifest.files}
    check, graph = bundle.check(), bundle.read_twin()
    assert graph is not None and graph != bundle.read_model()
    logits = open_model(graph, "reference")(check.pictures)
    np.testing.assert_allclose(logits, check.outputs["logits"], atol=check.atol["logits"])
    (row,) = (one for one in bundle.manifest.accuracy if one.metric.startswith("twin_"))
    assert (row.metric, row.split, row.value, row.n) == ("twin_top1_agreement", "test", 1.0, 15)
    for text in said(tmp_path, bundle):
        assert "for TensorRT" in text and "left out" not in text
    again, same = run(tmp_path)
    assert (told(again), same.read_twin()) == (told(result), graph)


def test_a_twin_that_does_not_mean_the_same_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = quantize_int8.quantize_with_twin

    def other_biases(*given: object) -> tuple[bytes, bytes]:
        smaller, twin = original(*given)  # type: ignore[arg-type]
        model = onnx.load_from_string(twin)
        bias = next(one for one in model.graph.initializer if one.name.endswith("/bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(9), bias.name))
        return smaller, model.SerializeToString()

    monkeypatch.setattr(quantize_int8, "quantize_with_twin", other_biases)
    result, bundle = run(tmp_path)
    assert not told(result).is_kept
    assert result.best == "int8", "the bundle itself is as good as without"
    assert not bundle.has_twin
    assert not any(one.metric.startswith("twin_") for one in bundle.manifest.accuracy)
    for text in said(tmp_path, bundle):
        assert "is left out: it does not give the answers of the check" in text


def test_a_twin_that_the_guard_refuses_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It means the same on the check's pictures, and another class on all of the guard's."""
    original = Made.twin_answers

    def turned(made: Made, name: str, graph: bytes) -> Predictions:
        found = original(made, name, graph)
        return replace(found, logits=np.roll(found.logits, 1, axis=1))

    monkeypatch.setattr(Made, "twin_answers", turned)
    candidate = [{"name": "int8", "steps": [STEP]}]
    one = colour_recipe(tmp_path, candidate=candidate, budget={"max_drop": 1.0})
    result = optimized(one, tmp_path / "run")
    assert result.best == "int8"
    assert not told(result).is_kept
    bundle = Store(tmp_path / "run" / "store").open("shades-int8")
    assert bundle.read_twin() is None
    for text in said(tmp_path, bundle):
        assert "for TensorRT, is left out" in text


def test_without_being_asked_there_is_none(tmp_path: Path) -> None:
    result = optimized(colour_recipe(tmp_path), tmp_path / "run")
    assert result.candidate("int8").twin is None
    assert not Store(tmp_path / "run" / "store").open("shades-int8").has_twin


@pytest.mark.parametrize(("step", "kept"), [("faster_kernels", True), ("fold", False)])
def test_a_later_pass_drops_it_unless_it_means_the_same(step: str, kept: bool, tmp_path: Path) -> None:
    result, bundle = run(tmp_path, step)
    assert (result.candidate("int8").twin is not None) == bundle.has_twin == kept
