"""Taking the float network out of a bundle for the steps that need one, and putting it back."""

from pathlib import Path

from torch import nn

from model_zoo.bundle import Bundle
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef, InputSpec
from model_zoo.store import Store
from model_zoo.weights import restore
from optimize.data.dataset import Task
from optimize.errors import RecipeError
from optimize.training.network.network import Network


def float_network(bundle: Bundle, step: str) -> Network:
    """The bundle's network, in evaluation mode.

    Raises:
        RecipeError: the bundle has none: it is a stranger's graph, or a pass has rewritten it.
    """
    if bundle.spec.architecture is None or bundle.weights_path is None:
        raise RecipeError(
            f"{step} needs the float network, and this bundle has its ONNX graph only. Put {step} before the passes; "
            "of a model that came as ONNX, passes are all that can be tried"
        )
    task = Task("label", bundle.labels)
    return Network(module=restore(bundle), spec=bundle.spec.input, architecture=bundle.spec.architecture, tasks=(task,))


def export_like(
    bundle: Bundle, module: nn.Module, spec: InputSpec, architecture: ArchitectureRef, folder: Path
) -> Bundle:
    """Write a network that was made of ``bundle``'s as a bundle, into a store of its own in ``folder``.

    Raises:
        ModelZooError: the export failed, or the graph and torch disagree.
    """
    provenance = Provenance(licence=bundle.spec.licence, source=bundle.spec.source)
    return export_bundle(
        module,
        name=bundle.spec.name,
        store=Store(folder / "store"),
        spec=spec,
        labels=bundle.labels,
        provenance=provenance,
        architecture=architecture,
    )
