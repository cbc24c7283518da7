"""What this CPU is called and which instructions it has; from ``/proc/cpuinfo``, where there is one."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_X86 = frozenset({"x86_64", "amd64", "i386", "i686"})
_TOLD = ("avx2", "avx512f", "vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass(frozen=True, slots=True)
class CpuFeatures:
    """``model`` as the maker writes it, ``machine`` as ``uname -m`` says, ``flags`` empty where unknown."""

    model: str
    machine: str
    flags: frozenset[str] = frozenset()

    @property
    def x86(self) -> bool:
        """An Intel or AMD processor."""
        return self.machine.lower() in _X86

    @property
    def vnni(self) -> bool:
        """8-bit products are summed in 32 bits."""
        return not self.flags.isdisjoint({"avx512_vnni", "avx_vnni"})

    @property
    def amx_bf16(self) -> bool:
        """Matrix tiles in bfloat16."""
        return {"amx_tile", "amx_bf16"} <= self.flags

    @property
    def multiplies_bf16(self) -> bool:
        """Products of bfloat16 have instructions of their own, in vectors or tiles; elsewhere they are imitated."""
        return self.amx_bf16 or "avx512_bf16" in self.flags

    @property
    def floats_at_once(self) -> int:
        """Engines' kernels take so many channels at a time: 8, and with the wider vectors of AVX-512 16."""
        return 16 if "avx512f" in self.flags else 8

    @property
    def saturates_u8s8(self) -> bool:
        """Whether unsigned × signed 8-bit products may be cut off at 16 bits (``vpmaddubsw``); True when in doubt."""
        return self.x86 and not self.vnni

    @property
    def told(self) -> tuple[str, ...]:
        """The flags that decide the speed of these models, for people."""
        shown = self.flags | ({"vnni"} if self.vnni else frozenset())
        return tuple(flag for flag in _TOLD if flag in shown)

    @property
    def identity(self) -> str:
        """Equal for equal kinds of CPU: names alone are vague in virtual machines, so the flags count too."""
        digest = hashlib.sha256(" ".join(sorted(self.flags)).encode()).hexdigest()
        return f"{self.machine} {self.model} {digest[:12]}"


def cpu_features(cpuinfo: Path = _CPUINFO) -> CpuFeatures:
    """Read the first processor's entry; without that file, what ``platform`` knows."""
    machine = platform.machine()
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return CpuFeatures(platform.processor() or machine, machine)
    fields: dict[str, str] = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields[key.strip().lower()] = value.strip()
    flags = fields.get("flags") or fields.get("features") or ""
    return CpuFeatures(fields.get("model name") or machine, machine, frozenset(flags.split()))
