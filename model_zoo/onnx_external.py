"""Weights that an ONNX file keeps in files beside it, as torch's exporter writes them: read into the graph."""

from pathlib import Path

import onnx
from onnx.external_data_helper import load_external_data_for_tensor

from model_zoo.errors import BundleError, ImportRefusedError
from model_zoo.onnx_safety import is_external, parse_model, tensors


def with_weights(data: bytes, folder: Path, most_bytes: int) -> bytes:
    """The same model in one piece: as it is where it has all its weights already.

    Files are opened below ``folder`` only, and no links: the ``onnx`` package sees to that.

    Args:
        data: an ONNX file, perhaps not even that.
        folder: where it lies.
        most_bytes: of all weights.
    Raises:
        ImportRefusedError: a weight's file is missing, elsewhere, too short, or all together are too large.
    """
    try:
        model = parse_model(data)
    except BundleError:
        return data  # who asked says what it is not
    outside = [tensor for tensor in tensors(model) if is_external(tensor)]
    left = most_bytes
    for tensor in outside:
        left -= _bytes_of(tensor, folder, left)
    return model.SerializeToString() if outside else data


def _bytes_of(tensor: onnx.TensorProto, folder: Path, most: int) -> int:
    """Read one weight; returns its size. Sizes are looked at before anything is read."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    name, place = tensor.name[:100], said.get("location", "")[:200]
    try:
        size = int(said["length"]) if "length" in said else (folder / place).stat().st_size
        if size > most:
            raise ImportRefusedError(f"its weights, with '{name}' in {place}, are too large")
        load_external_data_for_tensor(tensor, str(folder))
    except FileNotFoundError:
        raise ImportRefusedError(_missing(name, place)) from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        if not (folder / place.replace("\0", "")).exists():
            raise ImportRefusedError(_missing(name, place)) from None
        raise ImportRefusedError(f"its weight '{name}' can't be read from {place}: {error}") from error
    tensor.data_location = tensor.DEFAULT
    tensor.ClearField("external_data")
    return len(tensor.raw_data)


def _missing(name: str, place: str) -> str:
    return f"its weight '{name}' is in another file, {place!r}, which is not beside it: keep the two in one folder"
