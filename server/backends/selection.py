"""Which engine serves a bundle: the first in line that gives the bundle's own answers.

Every engine runs the four pictures of ``check.npz`` before it serves. One that
is missing, does not take the graph or answers otherwise is passed over, with the
reason kept for the catalogue. An engine that was asked for by name is
not replaced: its failure is the refusal.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.check import CheckVerdict, compare
from server.backends import BACKENDS, Backend, BackendOptions, Device
from server.backends.batches import batch_limit
from server.backends.cpu_features import CpuFeatures, cpu_features
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError, CheckFailedError
from server.backends.onnxruntime_providers import asks_for_tensorrt, cuda_is_available
from server.backends.torch import torch_sees_cuda

log = logging.getLogger("quickeye.backends")

# Answers of its own making: no check can pass, and it serves only when asked for by name.
UNCHECKED = frozenset({"fake"})
CPU_LINE = ("openvino", "onnxruntime")
CUDA_LINE = ("torch", "onnxruntime")
CPU_BATCH, GPU_BATCH = 8, 256  # most pictures of one run, where nobody says


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine to try: ``label`` names it to people, with its precision where that is not the bundle's.

    ``is_a_try``: it rounds more than the bundle asks for, and nothing is wrong where the check refuses it.
    """

    backend: str
    options: BackendOptions
    label: str
    is_a_try: bool = False


@dataclass(frozen=True, slots=True)
class OpenedBackend:
    """An engine that proved itself; ``refused`` holds (engine, reason) of those passed over before it.

    ``options`` are those that it runs with: its device, and a number for ``max_batch_size``.
    """

    backend: Backend
    verdict: CheckVerdict
    refused: tuple[tuple[str, str], ...]
    options: BackendOptions
    label: str = ""


def open_backend(
    bundle: Bundle, options: BackendOptions, name: str | None = None, *, prefer: str | None = None
) -> OpenedBackend:
    """Open one instance of a bundle.

    Args:
        name: this engine or none; None tries all of the device's line.
        prefer: the engine to try first, where no name is given; the others follow.
    Raises:
        CheckFailedError: an engine ran the bundle, and none gave its answers.
        BackendUnavailableError: no engine for this bundle and device is installed; the message says what to install.
        BackendLoadError: the engines that are here do not take the bundle.
    """
    if name is not None and name not in BACKENDS:
        raise BackendUnavailableError(f"no backend '{name}'; there are: {', '.join(BACKENDS)}")
    faults: list[tuple[str, BackendError]] = []
    for candidate in candidates(bundle, options, name, prefer=prefer):
        try:
            backend, verdict = _open(bundle, candidate)
        except BackendError as error:
            log.log(
                _level(candidate, error),
                "%s version %d: %s is passed over: %s", bundle.spec.name, bundle.spec.version, candidate.label, error,
            )  # fmt: skip
            faults.append((candidate.label, error))
            continue
        refused = tuple((label, str(error)) for label, error in faults)
        return OpenedBackend(backend, verdict, refused, candidate.options, candidate.label)
    raise _refusal(bundle, options, faults)


def candidates(
    bundle: Bundle,
    options: BackendOptions,
    name: str | None = None,
    *,
    prefer: str | None = None,
    features: CpuFeatures | None = None,
    cuda: Callable[[], bool] = cuda_is_available,
    torch_cuda: Callable[[], bool] = torch_sees_cuda,
) -> list[Candidate]:
    """The line of engines for a bundle and device, best first; see ``open_backend``.

    Args:
        features: this CPU's; None asks.
        cuda: whether ONNX Runtime has its GPU engine.
        torch_cuda: whether torch finds a GPU.
    """
    line: list[Candidate] = []
    if options.device == "cuda":
        for backend in [name] if name else CUDA_LINE:
            line += _on_cuda(options, backend)
    else:
        if options.device == "auto" and _is_for_gpus(bundle, options.extra):
            if name in (None, "torch") and _has_float_weights(bundle) and torch_cuda():
                line += _on_cuda(options, "torch")
            if name in (None, "onnxruntime") and cuda():
                line += _on_cuda(options, "onnxruntime")
        for backend in [name] if name else CPU_LINE:
            line += _on_cpu(bundle, _sized(options, "cpu", CPU_BATCH), backend, features or cpu_features())
    wanted = [one for one in line if name is not None or takes(bundle, one.backend)]
    return sorted(wanted, key=lambda one: one.backend != prefer) if prefer else wanted


def takes(bundle: Bundle, backend: str, *, on_gpu: bool = False, extra: Mapping[str, str] | None = None) -> bool:
    """``runs_on`` names who takes the graph, and torch takes the float weights; 8-bit graphs are for CPUs.

    Args:
        extra: the settings of backends; with TensorRT among them an 8-bit bundle that has a twin for it is for GPUs.
    """
    if on_gpu and not _is_for_gpus(bundle, extra or {}):
        return False
    return _has_float_weights(bundle) if backend == "torch" else backend in bundle.spec.runs_on


def _level(candidate: Candidate, error: BackendError) -> int:
    if isinstance(error, BackendUnavailableError):  # an engine that nobody installed is no event
        return logging.DEBUG
    return logging.INFO if candidate.is_a_try and isinstance(error, CheckFailedError) else logging.WARNING


def prove(backend: Backend, bundle: Bundle, max_batch_size: int) -> CheckVerdict:
    """Run the bundle's check pictures, in batches that the instance takes; all outputs are judged.

    Raises:
        BackendError: the engine failed.
    """
    check = bundle.check()
    at_once = min(len(check.pictures), batch_limit(bundle.spec.input, max_batch_size))
    parts = [
        backend.run(np.ascontiguousarray(check.pictures[start : start + at_once]), explain=True)
        for start in range(0, len(check.pictures), at_once)
    ]
    outputs: list[NDArray[np.float32]] = [np.concatenate(rows) for rows in zip(*parts, strict=True)]
    return compare(check, outputs)


def _on_cpu(bundle: Bundle, options: BackendOptions, backend: str, features: CpuFeatures) -> list[Candidate]:
    plain = Candidate(backend, options, backend)
    set_by_hand = "openvino.precision" in options.extra
    if backend == "openvino" and bundle.spec.precision == "fp32" and features.multiplies_bf16 and not set_by_hand:
        extra = {**options.extra, "openvino.precision": "bf16"}
        return [Candidate(backend, replace(options, extra=extra), "openvino bf16", is_a_try=True), plain]
    return [plain]


def _on_cuda(options: BackendOptions, backend: str) -> list[Candidate]:
    on_cuda = _sized(options, "cuda", GPU_BATCH)
    plain = Candidate(backend, on_cuda, f"{backend} on cuda")
    if backend != "torch" or "torch.precision" in options.extra:
        return [plain]
    exact = replace(on_cuda, extra={**on_cuda.extra, "torch.precision": "fp32"})
    return [Candidate(backend, on_cuda, "torch fp16 on cuda"), Candidate(backend, exact, "torch fp32 on cuda")]


def _sized(options: BackendOptions, device: Device, usual: int) -> BackendOptions:
    return replace(options, device=device, max_batch_size=options.max_batch_size or usual)


def _is_for_gpus(bundle: Bundle, extra: Mapping[str, str]) -> bool:
    return bundle.spec.precision != "int8" or (bundle.has_twin and asks_for_tensorrt(extra))


def _has_float_weights(bundle: Bundle) -> bool:
    spec = bundle.spec
    return spec.architecture is not None and bundle.weights_path is not None and spec.precision != "int8"


def _open(bundle: Bundle, candidate: Candidate) -> tuple[Backend, CheckVerdict]:
    module, _, function = BACKENDS[candidate.backend].partition(":")
    load: Callable[[Bundle, BackendOptions], Backend] = getattr(import_module(module), function)
    backend = load(bundle, candidate.options)
    if candidate.backend in UNCHECKED:
        return backend, CheckVerdict(True, 0.0, f"not checked: the {candidate.backend} backend makes up its answers")
    try:
        verdict = prove(backend, bundle, candidate.options.max_batch_size)
    except BaseException:
        backend.close()
        raise
    if not verdict.passed:
        backend.close()
        raise CheckFailedError(
            f"{candidate.label} does not give the answers that '{bundle.spec.name}' version {bundle.spec.version} "
            f"was made with: {verdict.detail}"
        )
    return backend, verdict


def _refusal(bundle: Bundle, options: BackendOptions, faults: list[tuple[str, BackendError]]) -> BackendError:
    """One error that says all; its class is that of the candidate that came furthest."""
    if len(faults) == 1:
        return faults[0][1]
    what = f"'{bundle.spec.name}' version {bundle.spec.version}"
    if not faults:
        runs_on = ", ".join(bundle.spec.runs_on)
        return BackendUnavailableError(f"{what} runs on {runs_on}; none of these is for device '{options.device}' here")
    kind: type[BackendError] = BackendUnavailableError
    for one in (BackendLoadError, BackendError, CheckFailedError):
        if any(type(error) is one for _, error in faults):
            kind = one
    reasons = "\n".join(f"  {label}: {error}" for label, error in faults)
    return kind(f"no engine runs {what}:\n{reasons}")
