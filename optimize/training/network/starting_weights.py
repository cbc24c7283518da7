"""Where training starts: the zoo's published weights, a checkpoint, a bundle, or an earlier run.

What comes with a bundle besides its weights, the classes and the input, is kept: a head
for the same classes can stay, and pictures must be normalised as before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from model_zoo.architectures import PRUNED
from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError
from model_zoo.spec import ArchitectureRef, InputSpec
from optimize.errors import CheckpointError
from optimize.training.bundle_at import bundle_at
from optimize.training.network.options import PRETRAINED_WEIGHTS

if TYPE_CHECKING:
    from model_zoo.weights import StateDict


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingWeights:
    """Tensors and what is known of them.

    Attributes:
        said: how people call them, without a place on this machine: it is published with the bundle.
        place: where they lie, for messages; empty for the published ones.
        state: name → tensor.
        classes: in the head's order; None where the file does not say.
        spec: the input they were trained for; None where the file does not say.
        architecture: likewise.
        is_trunk: only what the network begins with; the rest starts at random.
    """

    said: str
    state: Mapping[str, Tensor]
    classes: tuple[str, ...] | None = None
    spec: InputSpec | None = None
    architecture: ArchitectureRef | None = None
    is_trunk: bool = False
    place: str = ""

    @property
    def found(self) -> str:
        """How messages call them."""
        return f"{self.said} ({self.place})" if self.place else self.said


def read_starting_weights(weights: str, architecture: str) -> StartingWeights:
    """Read what ``[model] weights`` names.

    Args:
        weights: "pretrained" or a path; see ``ModelOptions``.
        architecture: for "pretrained".
    Raises:
        CheckpointError: nothing is there, it can't be read, or it is of another architecture, pruned or not.
    """
    if weights == PRETRAINED_WEIGHTS:
        return _published(architecture)
    path = Path(weights).expanduser()
    try:
        if path.is_dir():
            found = _of_bundle(bundle_at(path))
        elif path.is_file():
            found = StartingWeights(said=path.name, place=str(path), state=_load(path))
        else:
            raise CheckpointError(f"{path}: no such file or folder; the zoo's own weights are called {weights_hint()}")
    except ModelZooError as error:
        raise CheckpointError(_placed(path, error)) from error
    if found.architecture is not None and found.architecture.name not in (architecture, f"{PRUNED}{architecture}"):
        raise CheckpointError(
            f"{found.found} is a network of {found.architecture.name}, the recipe asks for {architecture}; "
            f"set model.architecture = {found.architecture.name!r}, or take other weights"
        )
    return found


def weights_hint() -> str:
    """How a recipe asks for the published weights."""
    return repr(PRETRAINED_WEIGHTS)


def _placed(path: Path, error: ModelZooError) -> str:
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def _published(architecture: str) -> StartingWeights:
    from model_zoo.labels import imagenet_labels
    from model_zoo.weights import CUT_SHORT, pretrained, pretrained_trunk

    try:
        if architecture in CUT_SHORT:
            said = f"the published weights of {CUT_SHORT[architecture]}, as far as they go"
            return StartingWeights(said=said, state=pretrained_trunk(architecture), is_trunk=True)
        state = pretrained(architecture)
    except ModelZooError as error:
        raise CheckpointError(str(error)) from error
    said = f"the published weights of {architecture}"
    return StartingWeights(said=said, state=state, classes=imagenet_labels())


def _load(path: Path) -> "StateDict":
    from model_zoo.weights import load_weights

    return load_weights(path)


def _of_bundle(bundle: Bundle) -> StartingWeights:
    from model_zoo.weights import restore

    module = restore(bundle)
    return StartingWeights(
        said=f"{bundle.spec.name}/{bundle.spec.version}",
        place=str(bundle.folder),
        state=module.state_dict(),
        classes=bundle.labels,
        spec=bundle.spec.input,
        architecture=bundle.spec.architecture,
    )
