"""Torch → ONNX → bundle: the graph says what torch says, is plain, and is the same every time."""

import copy
import hashlib
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from model_zoo.architectures import ARCHITECTURES, build, input_spec
from model_zoo.architectures.mobilenet_v2 import STAGES
from model_zoo.architectures.mobilenet_v3 import LARGE, SMALL
from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError, WeightsError
from model_zoo.export import FromPixels, Provenance, build_bundle, export_bundle, export_onnx, reference_logits
from model_zoo.graph_class_activation import map_error, remove_class_activation
from model_zoo.spec import ArchitectureRef, InputSpec
from model_zoo.store import Store
from model_zoo.weights import pretrained, restore
from tests.model_zoo.labelled_photos import photos, top_hits

Pictures = NDArray[np.uint8]

LABELS = tuple(f"class {i}" for i in range(10))

# The exporter takes a tenth of a second a layer: deep networks are exported shortened, every kind of block kept.
SHORTENED: dict[str, dict[str, object]] = {
    **{f"efficientnet_lite{n}": {"depth": 0.4} for n in range(5)},
    **{name: {"depths": (2, 1, 1, 1)} for name in ("resnet18", "resnet34", "resnet50", "seresnet50")},
    "densenet121": {"depths": (2, 1, 1, 2)},
    "mobilenet_v2": {"stages": STAGES[:3]},
    **{f"shufflenet_v2_{width}": {"repeats": (2, 1, 2)} for width in ("x0_5", "x1_0", "x1_5", "x2_0")},
    "mobilenet_v3_small": {"blocks": SMALL[:6]},
    "mobilenet_v3_large": {"blocks": LARGE[:8] + LARGE[10:12]},
}
ONE_OF_EACH = {"grey28", "squeezenet1_1", "seresnet50", "densenet121", "efficientnet_lite1", "shufflenet_v2_x0_5"}
# What stands between the pooled features and the logits there is no linear layer alone, or the pooling is no mean.
WITHOUT_MAPS = {"mobilenet_v3_small", "mobilenet_v3_large", "squeezenet1_1", "grey28_small", "grey28_wide"}
PLAIN = {"Transpose", "Cast", "Sub", "Mul", "Conv", "Clip", "Relu", "Add", "GlobalAveragePool", "Flatten", "Gemm"}
ALSO: dict[str, set[str]] = {
    "mobilenet_v3": {"HardSwish", "HardSigmoid"},
    "seresnet": {"Sigmoid", "MaxPool"},
    "resnet": {"MaxPool"},
    "squeezenet": {"MaxPool", "Concat"},
    "densenet": {"MaxPool", "AveragePool", "Concat", "BatchNormalization"},
    "shufflenet": {"MaxPool", "Concat", "Split", "Reshape"},
}


def pictures_for(spec: InputSpec) -> Pictures:
    """Four real photos at the input size; grey inputs get their mean channel."""
    if spec.channels == 3:
        return photos(spec)[0][:4]
    colour = photos(input_spec("efficientnet_lite0"))[0][:4, ::8, ::8]
    return colour.mean(axis=3, keepdims=True).astype(np.uint8)


def settled(module: nn.Module, spec: InputSpec) -> nn.Module:
    """Random weights whose batch norms have seen real photos, so that the logits are not all alike."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    with torch.no_grad():
        FromPixels(module, spec).train()(torch.from_numpy(pictures_for(spec).copy()))
    return module.eval()


def run(model: bytes, pictures: Pictures, output: str = "logits") -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values: NDArray[np.float32] = session.run([output], {"images": pictures})[0]
    return values


class LastPooled(TorchDispatchMode):
    """Keeps what the last mean over places was taken of."""

    features: torch.Tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if func is torch.ops.aten.mean.dim and list(args[1]) == [2, 3]:
            self.features = args[0]
        return func(*args, **(kwargs or {}))


def reference_maps(module: nn.Module, spec: InputSpec, pictures: Pictures) -> NDArray[np.float64]:
    """Zhou et al.'s formula in float64 on torch's own features, of each picture's best class: (N, h, w)."""
    exact = copy.deepcopy(FromPixels(module, spec)).eval().double()
    with torch.no_grad(), LastPooled() as pooled:
        best = exact(torch.from_numpy(np.array(pictures))).argmax(dim=1)
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    maps = torch.einsum("nc,nchw->nhw", last.weight.detach().double()[best], pooled.features)
    return maps.numpy()


def operators(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


@cache
def small_net() -> tuple[nn.Module, bytes]:
    """grey28 and its export."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    spec = input_spec("grey28")
    module = settled(build("grey28", 10), spec)
    return module, export_onnx(module, spec)


@cache
def settled_export(name: str) -> tuple[InputSpec, nn.Module, bytes]:
    """An architecture, shortened, with twenty classes, and its export."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    spec = input_spec(name)
    module = settled(build(name, 20, **SHORTENED.get(name, {})), spec)  # type: ignore[arg-type]
    return spec, module, export_onnx(module, spec)


EVERY = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ONE_OF_EACH else pytest.mark.slow) for name in ARCHITECTURES]
)


@EVERY
def test_the_graph_says_what_torch_says(name: str) -> None:
    """On real photos, against torch in float64; any batch size; plain operators only."""
    spec, module, model = settled_export(name)
    pictures = pictures_for(spec)
    expected = reference_logits(module, spec, pictures)
    atol = 1e-4 * float(np.abs(expected).max())
    np.testing.assert_allclose(run(model, pictures), expected, rtol=0, atol=atol)
    np.testing.assert_allclose(run(model, pictures[:1]), expected[:1], rtol=0, atol=atol)
    allowed = PLAIN.union(*(extra for family, extra in ALSO.items() if name.startswith(family)))
    graph = onnx.load_from_string(model)
    assert remove_class_activation(graph) == (name not in WITHOUT_MAPS)
    assert {node.op_type for node in graph.graph.node} <= allowed


@EVERY
def test_maps_are_the_papers_formula_on_torchs_features(name: str) -> None:
    """Which architectures have them, and that they are right: batches of any size, against torch in float64."""
    spec, module, model = settled_export(name)
    names = [output.name for output in onnx.load_from_string(model).graph.output]
    if name in WITHOUT_MAPS:
        assert names == ["logits"]
        return
    assert names == ["logits", "class_activation"]
    pictures = pictures_for(spec)
    expected = reference_maps(module, spec, pictures)
    atol = 1e-4 * float(np.abs(expected).max())
    maps = run(model, pictures, "class_activation")
    np.testing.assert_allclose(maps, expected, rtol=0, atol=atol)
    np.testing.assert_allclose(run(model, pictures[2:3], "class_activation"), expected[2:3], rtol=0, atol=atol)
    logits = reference_logits(module, spec, pictures)
    assert map_error(onnx.load_from_string(model), logits, maps) < 1e-4


def test_input_and_output_are_the_contracts() -> None:
    graph = onnx.load_from_string(small_net()[1]).graph
    (image,), (logits, maps) = graph.input, graph.output
    sizes = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, image.type.tensor_type.elem_type, sizes) == ("images", onnx.TensorProto.UINT8, ["N", 28, 28, 1])
    sizes = [d.dim_param or d.dim_value for d in logits.type.tensor_type.shape.dim]
    assert (logits.name, logits.type.tensor_type.elem_type, sizes) == ("logits", onnx.TensorProto.FLOAT, ["N", 10])
    sizes = [d.dim_param or d.dim_value for d in maps.type.tensor_type.shape.dim]
    assert (maps.name, maps.type.tensor_type.elem_type, sizes) == (
        "class_activation",
        onnx.TensorProto.FLOAT,
        ["N", 7, 7],
    )


def test_nodes_and_constants_have_the_layers_names() -> None:
    graph = onnx.load_from_string(small_net()[1]).graph
    names = {node.name for node in graph.node}
    assert {"stem.0", "blocks.1.conv2", "blocks.2.skip.0", "classifier"} <= names
    assert len(names) == len(graph.node)
    assert "blocks.1.conv2.weight" in {constant.name for constant in graph.initializer}


def test_metadata_names_the_task_size_and_classes(written: Bundle) -> None:
    facts = {entry.key: entry.value for entry in onnx.load_from_string(written.read_model()).metadata_props}
    assert facts == {"task": "classify", "imgsz": "[28, 28]", "names": repr(dict(enumerate(LABELS)))}


@pytest.mark.slow
def test_two_exports_are_the_same_bytes_also_in_another_process() -> None:
    code = (
        "import hashlib, torch; from model_zoo.architectures import build, input_spec\n"
        "from model_zoo.export import export_onnx\n"
        "torch.manual_seed(3); module = build('grey28', 10)\n"
        "print(hashlib.sha256(export_onnx(module, input_spec('grey28'))).hexdigest())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    torch.manual_seed(3)
    module = build("grey28", 10).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    model = export_onnx(module, input_spec("grey28"))
    assert hashlib.sha256(model).hexdigest() == elsewhere
    for trace in (str(Path.cwd()).encode(), b".py", b"torch", b"site-packages"):
        assert trace not in model
    assert module.training, "the module must stay as it was"
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_adaptive_pools_of_foreign_networks_become_one_operator() -> None:
    torch.manual_seed(0)
    spec = input_spec("grey28")
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    model = export_onnx(module, spec)
    assert operators(model)["GlobalAveragePool"] == 1
    np.testing.assert_allclose(
        run(model, pictures_for(spec)), reference_logits(module, spec, pictures_for(spec)), atol=1e-5
    )


def test_a_module_that_cannot_be_traced_is_refused() -> None:
    class Depends(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3)) if x.sum() > 0 else x.amax((1, 2, 3))

    with pytest.raises(ModelZooError, match="torch can't export this module"):
        export_onnx(Depends(), input_spec("grey28"))


def test_a_missing_exporter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.onnx_trace.find_spec", lambda name: None)
    with pytest.raises(ModelZooError, match=r"onnxscript: pip install 'quickeye\[optimize\]'"):
        export_onnx(nn.Identity(), input_spec("grey28"))


def write_small(module: nn.Module, store: Path, *, with_weights: bool = True) -> Bundle:
    """grey28 as version 1 of "small"."""
    return export_bundle(
        module,
        name="small",
        store=store,
        spec=input_spec("grey28"),
        labels=LABELS,
        provenance=Provenance(licence="Apache-2.0", source="a test"),
        architecture=ArchitectureRef("grey28", {"num_classes": 10}),
        with_weights=with_weights,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small net's bundle, read again."""
    root = tmp_path_factory.mktemp("store")
    write_small(small_net()[0], root)
    return Store(root).open("small", 1)


def test_a_bundle_is_written_with_weights_that_restore(written: Bundle) -> None:
    state = small_net()[0].state_dict()
    again = restore(written)
    assert not again.training
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    assert (written.spec.precision, written.spec.task, written.labels) == ("fp32", "classification", LABELS)
    assert "98,466 parameters" in (written.folder / "CARD.md").read_text()
    assert written.manifest.lineage.tools.keys() == {"torch", "onnx", "onnxscript"}


def test_the_check_is_torch_in_float64(written: Bundle) -> None:
    check, spec = written.check(), input_spec("grey28")
    pixels = torch.from_numpy(check.pictures.copy()).permute(0, 3, 1, 2).double()
    exact = restore(written).double()
    with torch.no_grad():
        expected = exact((pixels - spec.graph_mean[0]) / spec.graph_std[0]).numpy()
    np.testing.assert_allclose(check.outputs["logits"], expected, rtol=0, atol=1e-6)


def test_a_bundle_offers_its_maps_and_checks_them(written: Bundle) -> None:
    check = written.check()
    assert written.spec.offers_class_activation
    assert list(check.outputs) == ["logits", "class_activation"]
    expected = reference_maps(small_net()[0], input_spec("grey28"), check.pictures)
    np.testing.assert_allclose(check.outputs["class_activation"], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_maps_that_do_not_explain_torchs_logits_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, model = small_net()
    graph = onnx.load_from_string(model)
    lookup = next(node for node in graph.graph.node if node.op_type == "ArgMax")
    lookup.op_type = "ArgMin"
    monkeypatch.setattr("model_zoo.export.export_onnx", lambda *_, **__: graph.SerializeToString())
    with pytest.raises(ModelZooError, match="do not explain torch's logits"):
        write_small(module, tmp_path)
    assert Store(tmp_path).names() == []


def test_a_bundle_may_leave_the_weights_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, model = small_net()
    monkeypatch.setattr("model_zoo.export.export_onnx", lambda *_, **__: model)
    bundle = write_small(module, tmp_path, with_weights=False)
    assert bundle.weights_path is None
    with pytest.raises(WeightsError, match="no float weights"):
        restore(bundle)


def test_a_graph_that_differs_from_torch_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, model = small_net()
    other = copy.deepcopy(module)
    nn.init.constant_(other.get_parameter("classifier.bias"), 0.5)
    monkeypatch.setattr("model_zoo.export.export_onnx", lambda *_, **__: model)
    with pytest.raises(ModelZooError, match="differs from torch by"):
        write_small(other, tmp_path)
    assert Store(tmp_path).names() == []


@pytest.mark.slow
def test_a_zoo_name_becomes_a_bundle_that_recognises_the_photos(tmp_path: Path) -> None:
    bundle = build_bundle("efficientnet_lite0", tmp_path)
    assert (bundle.spec.name, bundle.spec.version, bundle.spec.licence) == ("efficientnet_lite0", 1, "Apache-2.0")
    assert bundle.labels[285] == "Egyptian cat"
    assert bundle.spec.architecture == ArchitectureRef("efficientnet_lite0", {"num_classes": 1000})
    pictures, labels = photos(bundle.spec.input)
    logits = run(bundle.read_model(), pictures)
    assert top_hits(logits, labels, 1) >= 18
    assert top_hits(logits, labels, 5) >= 19
    module = restore(bundle)
    with torch.no_grad():
        expected = FromPixels(module, bundle.spec.input).eval()(torch.from_numpy(pictures)).numpy()
    assert np.abs(logits - expected).max() < 1e-3
    assert module.state_dict().keys() == pretrained("efficientnet_lite0").keys()
    assert operators(bundle.read_model()) == {
        "Conv": 49,
        "Clip": 33,
        "Add": 9,
        "Gemm": 1,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Transpose": 1,
        "Cast": 1,
        "Sub": 1,
        "Mul": 1,
        "ArgMax": 1,
        "Gather": 1,
        "Reshape": 3,
        "MatMul": 1,
    }


def test_a_zoo_name_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no package holds weights for 'resnet18'"):
        build_bundle("resnet18", tmp_path)
