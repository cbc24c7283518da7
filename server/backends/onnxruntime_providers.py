"""Which of ONNX Runtime's execution providers to ask for, and with what."""

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
    runtime: ModuleType, spec: ModelSpec, options: BackendOptions, extras: dict[str, str]
) -> list[Provider]:
    """The providers in order of preference; the CPU always comes last, for what the others leave.

    Raises:
        BackendUnavailableError: this build of onnxruntime has no such provider.
        BackendLoadError: a bundle that the device would run slowly and no better.
    """
    default = ["cuda"] if options.device == "cuda" else ["cpu"]
    asked = [word.strip() for word in extras.get("providers", "").split(",") if word.strip()] or default
    names = [NAMES.get(word.lower(), word) for word in asked]
    available: list[str] = runtime.get_available_providers()
    for name in names:
        if name not in available:
            raise BackendUnavailableError(f"this onnxruntime has no {name} (it has {', '.join(available)}): {_INSTALL}")
    if _DEVICES.get(names[0]) == "cuda":
        _prepare_cuda(runtime, spec)
    if NAMES["cpu"] not in names:
        names.append(NAMES["cpu"])
    return [Provider(name, _options(name, extras)) for name in names]


def cuda_is_available() -> bool:
    """Whether the installed onnxruntime was built with CUDA; a driver may still be missing."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return NAMES["cuda"] in onnxruntime.get_available_providers()


def _prepare_cuda(runtime: ModuleType, spec: ModelSpec) -> None:
    if spec.precision == "int8":
        parent = f", '{spec.parent}'" if spec.parent else ""
        raise BackendLoadError(f"int8 bundles are for CPUs; on a GPU serve the float model it was made of{parent}")
    if hasattr(runtime, "preload_dlls"):  # finds CUDA and cuDNN in the wheels that 'quickeye[gpu]' brings
        runtime.preload_dlls()


def _options(name: str, extras: dict[str, str]) -> dict[str, str]:
    if name == NAMES["cuda"]:
        return {"device_id": extras.get("device_id", "0"), "arena_extend_strategy": "kSameAsRequested"}
    if name == NAMES["tensorrt"]:
        return _tensorrt_options(extras)
    return {}


def _tensorrt_options(extras: dict[str, str]) -> dict[str, str]:
    found = {
        "device_id": extras.get("device_id", "0"),
        "trt_fp16_enable": str(int(as_flag("onnxruntime.trt_fp16", extras.get("trt_fp16", "0")))),
    }
    if folder := extras.get("trt_cache"):
        found |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder, "trt_timing_cache_enable": "1"}
    return found
