"""Reading ``/proc/cpuinfo`` of several machines."""

import platform
from pathlib import Path

import pytest

from server.backends.cpu_features import CpuFeatures, cpu_features

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni amx_bf16 amx_tile amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(text)
    return path


def test_the_first_processor_speaks_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    found = cpu_features(written(tmp_path, XEON))
    assert found.model == "Intel(R) Xeon(R) Platinum 8480+"
    assert found.vnni
    assert found.amx_bf16
    assert found.multiplies_bf16
    assert found.floats_at_once == 16
    assert not found.saturates_u8s8
    assert found.told == ("avx2", "avx512f", "vnni", "amx_int8", "amx_bf16")


@pytest.mark.parametrize(
    ("machine", "flags", "saturates"),
    [
        ("x86_64", "avx2", True),
        ("x86_64", "avx2 avx_vnni", False),
        ("AMD64", "avx512f avx512_vnni", False),
        ("x86_64", "", True),
        ("aarch64", "asimd asimddp", False),
    ],
)
def test_only_x86_without_vnni_saturates(machine: str, flags: str, saturates: bool) -> None:
    assert CpuFeatures("test", machine, frozenset(flags.split())).saturates_u8s8 is saturates


def test_arm_calls_its_flags_features(tmp_path: Path) -> None:
    found = cpu_features(written(tmp_path, "processor : 0\nFeatures : fp asimd\nCPU part : 0xd0c\n"))
    assert found.flags == {"fp", "asimd"}


def test_without_the_file_the_platform_is_asked(tmp_path: Path) -> None:
    found = cpu_features(tmp_path / "none")
    assert found.flags == frozenset()
    assert found.machine == platform.machine()
    assert found.model


def test_the_identity_tells_cpus_of_one_name_apart() -> None:
    one, other = (CpuFeatures("EPYC", "x86_64", frozenset(flags)) for flags in ({"avx2"}, {"avx2", "avx512f"}))
    assert one.identity != other.identity
    assert one.identity == CpuFeatures("EPYC", "x86_64", frozenset({"avx2"})).identity
