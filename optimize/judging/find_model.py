"""What the word MODEL on a command line means."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model_zoo.bundle_files import parse_labels
from model_zoo.errors import UnknownModelError
from model_zoo.labels import imagenet_labels
from model_zoo.store import Store, parse_reference
from optimize.errors import CheckpointError, DataError
from optimize.judging.judged_model import BundleModel, JudgedModel
from optimize.training.bundle_at import bundle_at

WEIGHT_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How to open it.

    Attributes:
        store: where NAME and NAME/VERSION are looked for.
        backend: engine for bundles; None: the first that passes the bundle's check.
        architecture: of a checkpoint.
        labels: class names of a checkpoint; asked for only when it is one.
        threads: of a bundle's engine; None: all cores.
    """

    store: Store
    backend: str | None = None
    architecture: str | None = None
    labels: Callable[[], tuple[str, ...]] | None = None
    threads: int | None = None


def open_model(word: str, options: ModelOptions) -> JudgedModel:
    """Open a bundle's folder, a run's folder, a checkpoint, NAME or NAME/VERSION of the store, or a zoo entry.

    A name that both the store and the zoo have is the store's; ``zoo:NAME`` is the zoo's.

    Raises:
        UnknownModelError: none of these.
        ModelZooError: it is there, and refused.
        CheckpointError: a folder without a bundle, a checkpoint without its architecture, or a file that is none.
        BackendError: no engine runs it.
    """
    path = Path(word)
    if path.is_file():
        return _checkpoint(path, options)
    if path.is_dir():
        return BundleModel(bundle_at(path), options.backend, threads=options.threads)
    if word.startswith("zoo:"):
        return _published(word.removeprefix("zoo:"))
    try:
        bundle = options.store.open(*parse_reference(word))
    except UnknownModelError as error:
        return _published_or_unknown(word, error)
    return BundleModel(bundle, options.backend, threads=options.threads)


def read_labels(file: str) -> tuple[str, ...]:
    """Class names, one a line; the word ``imagenet`` for ImageNet's.

    Raises:
        DataError: not readable.
        BundleError: empty, or names that no bundle could have.
    """
    if file == "imagenet":
        return imagenet_labels()
    try:
        return parse_labels(Path(file).read_bytes())
    except OSError as error:
        raise DataError(f"{file}: the class names can't be read: {error.strerror}") from error


def _checkpoint(path: Path, options: ModelOptions) -> JudgedModel:
    if path.suffix == ".onnx":
        raise CheckpointError(f"{path}: import it first: quickeye models import {path} --name NAME --store store")
    if path.suffix not in WEIGHT_SUFFIXES:
        raise CheckpointError(f"{path} is no checkpoint; these end in {', '.join(WEIGHT_SUFFIXES)}")
    if options.architecture is None:
        raise CheckpointError(f"{path} holds weights only: name their network with --arch")
    if options.labels is None:
        raise CheckpointError(f"{path} holds no class names: give them with --labels FILE")
    from optimize.judging.torch_model import from_checkpoint

    return from_checkpoint(path, options.architecture, options.labels())


def _published_or_unknown(word: str, error: UnknownModelError) -> JudgedModel:
    from model_zoo.architectures import ARCHITECTURES

    if word not in ARCHITECTURES:
        raise UnknownModelError(f"{error}; {word!r} is no folder, no file and no entry of the zoo either") from error
    return _published(word)


def _published(name: str) -> JudgedModel:
    from optimize.judging.torch_model import published

    return published(name)
