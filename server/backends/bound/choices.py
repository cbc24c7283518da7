"""What the settings say of memory, resizing and decoding, and what is taken where they say nothing."""

from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

from server.backends import BackendOptions
from server.backends.bound.memory import Device, FixedDevice
from server.backends.errors import BackendLoadError, BackendUnavailableError
from server.backends.extras import Decode, as_decode, as_flag
from server.backends.torch import torch_sees_cuda

MEMORY = ("torch", "fixed", "copied")
PREPROCESS = ("exact", "fast", "cpu")


def memory_kind(extras: dict[str, str], device: str) -> str:
    """Whose memory holds a batch: ``torch``'s, ``fixed`` values of ONNX Runtime's, or it is ``copied`` in and out.

    Raises:
        BackendLoadError: there is no such kind, or it lacks what another setting asks for.
    """
    usual = "copied" if device != "cuda" else "torch" if torch_sees_cuda() else "fixed"
    kind = extras.get("memory", usual)
    if kind not in MEMORY:
        raise BackendLoadError(f"'onnxruntime.memory' must be one of {', '.join(MEMORY)}, not '{kind}'")
    for key in ("cuda_graphs", "nhwc"):
        if kind == "copied" and as_flag(f"onnxruntime.{key}", extras.get(key, "0")):
            raise BackendLoadError(f"onnxruntime.{key}=1 is for CUDA, and not with onnxruntime.memory=copied")
    for key, others in (("preprocess", ("exact", "fast")), ("decode", ("gpu",))):
        if kind != "torch" and extras.get(key) in others:
            raise BackendLoadError(f"onnxruntime.{key} is the CPU's unless onnxruntime.memory is torch")
    return kind


def preprocess_choice(extras: dict[str, str], device: str) -> str:
    """Who resizes pictures: the device, ``exact`` or ``fast``, or the ``cpu``.

    Raises:
        BackendLoadError: none of these.
    """
    where = extras.get("preprocess", "exact" if device == "cuda" and find_spec("triton") else "cpu")
    if where not in PREPROCESS:
        raise BackendLoadError(f"'onnxruntime.preprocess' must be one of {', '.join(PREPROCESS)}, not '{where}'")
    return where


def decode_choice(extras: dict[str, str], device: str) -> Decode:
    """Who decodes JPEGs.

    Raises:
        BackendLoadError: nobody that there is.
    """
    return as_decode("onnxruntime.decode", extras.get("decode", "auto"), on_gpu=device == "cuda")


def device_of(module: ModuleType, memory: str, place: tuple[str, int], options: BackendOptions) -> Device:
    """A new share of a device.

    Raises:
        BackendUnavailableError: torch is to hold the memory, and is not installed or does not reach the device.
    """
    if memory == "fixed":
        return FixedDevice(module, place)
    try:
        from server.backends.torch_engine.backend import device_for
        from server.backends.torch_engine.bound_memory import TorchShare
    except ImportError as error:
        raise BackendUnavailableError(f"onnxruntime.memory=torch: torch is not installed ({error})") from error
    kind, number = place
    return TorchShare(device_for(replace(options, device="cuda" if kind == "cuda" else "cpu"), number))
