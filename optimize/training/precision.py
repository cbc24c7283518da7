"""Which device trains, and in what numbers."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from optimize.errors import RecipeError


def choose_device(said: str) -> torch.device:
    """``auto``: the first GPU, else the CPU.

    Raises:
        RecipeError: CUDA is asked for and not there.
    """
    if said == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(said)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError('train.device: this torch finds no CUDA device; take device = "cpu" or "auto"')
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise RecipeError(f"train.device: there is no {said}; this machine has {torch.cuda.device_count()} GPU(s)")
    return device


@dataclass(frozen=True, slots=True)
class Precision:
    """Numbers of the forward and backward pass; weights, sums and losses stay in fp32.

    Attributes:
        dtype: None for fp32.
        rounds: fp32, rounded where INT8 kernels round.
    """

    device: torch.device
    dtype: torch.dtype | None
    rounds: bool = False

    def context(self) -> AbstractContextManager[object]:
        """Inside, matrix products and convolutions run in ``dtype``."""
        if self.rounds:
            from optimize.training.int8.arithmetic import Int8Arithmetic

            return Int8Arithmetic()
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """For fp16, whose small gradients would be zeros; one that does nothing elsewhere."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)


def choose_precision(said: Literal["auto", "fp32", "bf16", "fp16", "int8"], device: torch.device) -> Precision:
    """Resolve ``auto``.

    Raises:
        RecipeError: fp16 on the CPU.
    """
    if said == "fp16" and device.type != "cuda":
        raise RecipeError('train.precision: fp16 needs a GPU; take "bf16", "fp32" or "auto"')
    if said == "int8":
        return Precision(device, None, rounds=True)
    dtypes = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    if said == "auto":
        return Precision(device, torch.bfloat16 if multiplies_in_bf16(device) else None)
    return Precision(device, dtypes[said])


def multiplies_in_bf16(device: torch.device) -> bool:
    """Whether the hardware does it itself; where it is imitated it is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability()
    flags = _cpu_flags()
    return "AVX512" in capabilities and bool({"avx512_bf16", "amx_bf16"} & flags)


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            line = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return set()
    return set(line.split())
