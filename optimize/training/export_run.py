"""A trained network becomes a bundle: temperature folded in, exported, compared with torch on real pictures.

Temperature scaling divides all logits by one number; so does dividing the weights and
the bias of the layer that makes them. The bundle then needs nothing of its own for it,
and its first answer is what it was.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model_zoo.bundle import Bundle
from model_zoo.export import INPUT_NAME, Provenance, export_bundle
from model_zoo.manifest import Accuracy, Lineage, Pass
from model_zoo.onnx_run import open_graph
from model_zoo.onnx_trace import OPSET
from model_zoo.store import Store
from optimize.data.report import spoken
from optimize.errors import TrainingError
from optimize.judging.agreement import top_k_hits
from optimize.judging.predictions import Predictions
from optimize.training.evaluate_network import TOP
from optimize.training.network.head import head
from optimize.training.network.network import Network
from optimize.training.recipe import Recipe
from optimize.training.recipe_file import without_paths
from optimize.training.run_card import card

# Largest difference between the graph on real pictures and torch, as a share of the largest logit.
PARITY = 1e-3
PARITY_PICTURES = 16
TOOLS = ("numpy", "onnx", "onnxscript", "pillow", "quickeye", "torch")
_CHECK_PICTURES = 4

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What one task's bundle is made of.

    Attributes:
        network: of this task alone, on the CPU; it is changed: its logits are divided by ``temperature``.
        splits: split → predictions before the temperature.
        pictures: validation pictures at input size, uint8 (n, height, width, channels).
        logits: what torch said of them, before the temperature.
        fingerprint: of the data.
        teacher: its fingerprint; None without one.
        epochs: that were trained.
        epoch: whose weights these are, from 1.
    """

    recipe: Recipe
    name: str
    network: Network
    temperature: float
    splits: dict[str, Predictions]
    pictures: Pictures
    logits: NDArray[np.float32]
    fingerprint: str
    teacher: str | None
    epochs: int
    epoch: int


def write_run_bundle(export: Export, store: Store) -> Bundle:
    """Write it, and prove that it says what torch says.

    Raises:
        TrainingError: the exported graph and torch disagree on real pictures.
        ModelZooError: the export failed, or the store refused.
    """
    network, recipe = export.network, export.recipe
    divide_logits(network.module, export.temperature)
    accuracy = tuple(one for split, found in export.splits.items() for one in accuracies(export.name, split, found))
    provenance = Provenance(
        licence=recipe.licence,
        source=recipe.source or f"trained by Quickeye with the recipe {recipe.name!r}",
        lineage=lineage(export),
        accuracy=accuracy,
        card=card(
            recipe,
            export.name,
            network,
            export.splits,
            export.temperature,
            export.fingerprint,
            epochs=export.epochs,
            epoch=export.epoch,
        ),
    )
    own = recipe.check_pictures == "validation" and len(export.pictures) >= _CHECK_PICTURES
    bundle = export_bundle(
        network.module,
        name=export.name,
        store=store,
        spec=network.spec,
        labels=network.tasks[0].classes,
        provenance=provenance,
        architecture=network.architecture,
        pictures=export.pictures[:_CHECK_PICTURES] if own else None,
    )
    require_parity(bundle, export.pictures, export.logits / export.temperature)
    return bundle


def divide_logits(module: nn.Module, temperature: float) -> None:
    """Divide the last layer's weights and bias, in place."""
    layer = head(module).layer
    with torch.no_grad():
        layer.weight.div_(temperature)
        if layer.bias is not None:
            layer.bias.div_(temperature)


def require_parity(bundle: Bundle, pictures: Pictures, expected: NDArray[np.floating]) -> None:
    """Run the bundle's graph on real pictures.

    Args:
        expected: (n, classes), what torch says of them.
    Raises:
        TrainingError: they disagree.
    """
    got = np.asarray(open_graph(bundle.read_model(), INPUT_NAME)(pictures)["logits"], np.float64)
    worst = float(np.abs(got - expected).max())
    allowed = PARITY * max(float(np.abs(expected).max()), 0.1)
    if not worst <= allowed:
        raise TrainingError(
            f"the exported graph differs from torch by {worst:.3g} on pictures of the validation set; "
            f"{allowed:.3g} is allowed. No bundle was made: please report this with the recipe"
        )


def accuracies(dataset: str, split: str, predictions: Predictions) -> tuple[Accuracy, ...]:
    """Top-1, and top-5 where it says something, with Wilson's intervals."""
    ks = (1, TOP) if len(predictions.classes) > TOP else (1,)
    found = [(k, top_k_hits(predictions.logits, predictions.labels, k)) for k in ks]
    return tuple(
        Accuracy(
            dataset=dataset,
            split=spoken(split),
            n=len(predictions),
            metric=f"top{k}",
            value=share.value,
            ci95=share.ci95,
        )
        for k, share in found
    )


def lineage(export: Export) -> Lineage:
    """The recipe without this machine's paths, fingerprints in their place, the temperature, versions that matter."""
    sources = {"data": export.fingerprint, "starting_weights": export.network.start, "teacher": export.teacher}
    said: dict[str, Any] = {key: value for key, value in sources.items() if value is not None}
    said["recipe"] = without_paths(export.recipe.to_content())
    return Lineage(
        passes=(
            Pass(name="train", parameters=said),
            Pass(name="temperature", parameters={"value": export.temperature}),
            Pass(name="export_onnx", parameters={"opset": OPSET}),
        ),
        seed=export.recipe.seed,
        recipe=export.recipe.name,
        tools={tool: found.partition("+")[0] for tool in TOOLS if (found := _version(tool))},
    )


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return ""
