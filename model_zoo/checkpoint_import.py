"""A torch checkpoint and the name of its architecture become a bundle. Torch is imported when it is asked for."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.bundle import Bundle
from model_zoo.errors import ImportRefusedError
from model_zoo.manifest import refuse_bad_name
from model_zoo.onnx_original import ImportOptions, given_normalisation, given_resize
from model_zoo.spec import ArchitectureRef, InputSpec

if TYPE_CHECKING:
    from model_zoo.weights import StateDict

# The last layer of the networks in the zoo and of most that follow torchvision or timm.
_LAST_LAYER = re.compile(r"(^|\.)(fc|classifier|head|last_linear|output)(\.\d+)?(\.(fc|1|3|4))?\.(weight|bias)$")


def import_checkpoint(file: Path, *, architecture: str, name: str, store: Path, options: ImportOptions) -> Bundle:
    """Write a bundle of a state dict.

    Args:
        file: ``.safetensors``, or a torch file of tensors alone.
        architecture: an entry of ``ARCHITECTURES``, ``timm:NAME`` or ``torchvision:NAME``.
        options: mean, std, size and resize replace the architecture's usual ones where given.
    Raises:
        BundleError: a name that can be none, or the store refuses the bundle.
        ImportRefusedError: torch is not installed, or options that do not fit.
        WeightsError: a pickled module, or weights that do not fit the architecture.
        UnknownArchitectureError: no such architecture.
    """
    refuse_bad_name(name)
    if options.layout or options.output:
        raise ImportRefusedError("--layout and --output are for ONNX files; a checkpoint's are known")
    try:
        from model_zoo.architectures import build, input_spec
        from model_zoo.export import Provenance, export_bundle
        from model_zoo.weights import fit_weights, load_weights
    except ImportError as error:
        raise ImportRefusedError(f"a checkpoint needs torch ({error}): pip install 'quickeye[optimize]'") from error
    spec = _adapted(input_spec(architecture), options)
    state = load_weights(file)
    classes = len(options.labels) if options.labels else _classes(state)
    module = build(architecture, classes)
    fit_weights(module, state)
    return export_bundle(
        module,
        name=name,
        store=store,
        spec=spec,
        labels=options.labels or tuple(f"class {index}" for index in range(classes)),
        provenance=Provenance(licence=options.licence, source=options.source),
        architecture=ArchitectureRef(architecture, {"num_classes": classes}),
    )


def _classes(state: "StateDict") -> int:
    """How many classes the last layer has."""
    sizes = {tensor.shape[0] for key, tensor in state.items() if _LAST_LAYER.search(key) and tensor.ndim}
    last = next((tensor.shape[0] for tensor in reversed(state.values()) if tensor.ndim), None)
    if last is not None and (last in sizes or not sizes):
        return int(last)
    if len(sizes) == 1:
        return int(sizes.pop())
    raise ImportRefusedError(
        "the number of classes can't be told from the checkpoint; give the names with --labels FILE"
    )


def _adapted(spec: InputSpec, options: ImportOptions) -> InputSpec:
    """The architecture's input with what the options say instead."""
    mean, std = given_normalisation(options, spec.channels, spec.graph_mean, spec.graph_std)
    spec = spec.at_size(options.height or spec.height, options.width or spec.width)
    resize = given_resize(options, spec.resize)
    return replace(
        spec,
        resize=resize,
        crop="centre" if resize.mode == "shorter_side" else "none",
        graph_mean=mean,
        graph_std=std,
    )
