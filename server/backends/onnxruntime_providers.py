"""Which of ONNX Runtime's execution providers to ask for, and with what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from model_zoo.spec import ModelSpec
from server.backends import BackendOptions
from server.backends.errors import BackendLoadError, BackendUnavailableError
from server.backends.extras import as_flag

NAMES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_DEVICES = {name: "cpu" if short == "cpu" else "cuda" for short, name in NAMES.items()}
_INSTALL = "pip install 'quickeye[gpu]' (in place of onnxruntime: pip uninstall onnxruntime first)"


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider, and the device it runs on."""

    name: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return _DEVICES.get(self.name, self.name.removesuffix("ExecutionProvider").lower())


def choose_providers(
    runtime: ModuleType, spec: ModelSpec, options: BackendOptions, extras: dict[str, str], *, has_twin: bool = False
) -> list[Provider]:
    """The providers in order of preference; the CPU always comes last, for what the others leave.

    Args:
        has_twin: an 8-bit bundle has a graph without zero points, which TensorRT takes.
    Raises:
        BackendUnavailableError: this build of onnxruntime has no such provider.
        BackendLoadError: a bundle that the device would run slowly and no better.
    """
    default = ["cuda"] if options.device == "cuda" else ["cpu"]
    names = asked_providers(extras.get("providers", "")) or [NAMES[word] for word in default]
    available: list[str] = runtime.get_available_providers()
    for name in names:
        if name not in available:
            raise BackendUnavailableError(f"this onnxruntime has no {name} (it has {', '.join(available)}): {_INSTALL}")
    if _DEVICES.get(names[0]) == "cuda":
        _prepare_cuda(runtime, spec, is_tensorrt=names[0] == NAMES["tensorrt"], has_twin=has_twin)
    if NAMES["cpu"] not in names:
        names.append(NAMES["cpu"])
    return [Provider(name, _options(name, extras, is_int8=spec.precision == "int8")) for name in names]


def asked_providers(text: str) -> list[str]:
    """The runtime's names of those that the setting ``providers`` lists."""
    return [NAMES.get(word.lower(), word) for word in map(str.strip, text.split(",")) if word]


def asks_for_tensorrt(extra: Mapping[str, str]) -> bool:
    """Whether a backend's settings, as ``BackendOptions.extra`` has them, put TensorRT first."""
    return asked_providers(extra.get("onnxruntime.providers", ""))[:1] == [NAMES["tensorrt"]]


def device_number(extras: dict[str, str]) -> int:
    """Which GPU.

    Raises:
        BackendLoadError: ``device_id`` is no whole number.
    """
    text = extras.get("device_id", "0")
    if not text.isdecimal():
        raise BackendLoadError(f"'onnxruntime.device_id' must be a whole number, not '{text}'")
    return int(text)


def cuda_is_available() -> bool:
    """Whether the installed onnxruntime was built with CUDA; a driver may still be missing."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return NAMES["cuda"] in onnxruntime.get_available_providers()


def _prepare_cuda(runtime: ModuleType, spec: ModelSpec, *, is_tensorrt: bool, has_twin: bool) -> None:
    if spec.precision == "int8" and not (is_tensorrt and has_twin):
        parent = f", '{spec.parent}'" if spec.parent else ""
        instead = f"on a GPU serve the float model it was made of{parent}"
        if is_tensorrt:
            instead += ", or make it anew with symmetric_twin = true in its step quantize_int8, for TensorRT"
        elif has_twin:
            instead += ", or take TensorRT, for which it has a twin: onnxruntime.providers=tensorrt"
        raise BackendLoadError(f"int8 bundles are for CPUs; {instead}")
    if hasattr(runtime, "preload_dlls"):  # finds CUDA and cuDNN in the wheels that 'quickeye[gpu]' brings
        runtime.preload_dlls()


def _options(name: str, extras: dict[str, str], *, is_int8: bool) -> dict[str, str]:
    if name == NAMES["cuda"]:
        return {"device_id": extras.get("device_id", "0"), "arena_extend_strategy": "kSameAsRequested"}
    if name == NAMES["tensorrt"]:
        return _tensorrt_options(extras, is_int8=is_int8)
    return {}


def _tensorrt_options(extras: dict[str, str], *, is_int8: bool) -> dict[str, str]:
    """With 8 bits, what stays in float is in half precision, unless that is set otherwise.

    Where CUDA's provider takes 1, TensorRT's takes True and nothing else.
    """
    found = {
        "device_id": extras.get("device_id", "0"),
        "trt_fp16_enable": str(as_flag("onnxruntime.trt_fp16", extras.get("trt_fp16", str(int(is_int8))))),
    }
    if is_int8:  # without it TensorRT builds no engine of a graph with codes; their scales are in the graph
        found["trt_int8_enable"] = "True"
    if folder := extras.get("trt_cache"):
        found |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": folder, "trt_timing_cache_enable": "True"}
    return found
