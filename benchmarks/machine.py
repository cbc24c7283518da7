"""Where a figure was measured: without this it means nothing."""

import argparse
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "quickeye",
    "onnxruntime",
    "openvino",
    "uvicorn",
    "uvloop",
    "httptools",
    "numpy",
    "pillow",
    "simplejpeg",
    "torch",
)
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")


def processor() -> tuple[str, list[str]]:
    """The CPU's name, and which of the instruction sets that matter here it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    have = facts.get("flags", "").split()
    return facts.get("model name", platform.machine()), [flag for flag in FLAGS if flag in have]


def versions() -> dict[str, str]:
    """Of everything installed that decides a figure."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def taken_share(before: tuple[float, float], after: tuple[float, float]) -> float:
    """What share of the cores' time other machines on the same hardware took between two ``taken_s``."""
    return (after[0] - before[0]) / max(after[1] - before[1], 1e-9)


def taken_s() -> tuple[float, float]:
    """Of all cores since the machine's start: seconds that they were not let run (steal), and all seconds.

    Zeros where there is no ``/proc/stat``: nothing is known.
    """
    try:
        user, nice, system, idle, waiting, hard, soft, steal = map(
            float, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        )
    except (OSError, IndexError, ValueError):
        return 0.0, 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    return steal / ticks, (user + nice + system + idle + waiting + hard + soft + steal) / ticks


_BEGUN = taken_s()


def machine() -> dict[str, object]:
    """CPU, cores that this process may use, kernel, load, what others took of them since the start, versions."""
    name, flags = processor()
    return {
        "cpu": name,
        "instructions": flags,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_1min": round(os.getloadavg()[0], 2),
        "taken": round(taken_share(_BEGUN, taken_s()), 4),
        "versions": versions(),
    }


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """``--json``, the same for every program here."""
    parser.add_argument("--json", action="store_true", help="print pure JSON")


def publish(result: Mapping[str, object], lines: list[str], *, as_json: bool) -> None:
    """Print the result with its machine, as JSON or as text."""
    where = machine()
    if as_json:
        print(json.dumps({"machine": where, **result}, indent=2))
        return
    instructions, taken = ", ".join(processor()[1]), f"{where['taken']:.1%} taken by other machines"
    print(f"{where['cpu']}, {where['cores']} cores, {instructions}; load {where['load_1min']}, {taken}")
    print(", ".join(f"{name} {number}" for name, number in versions().items()))
    print("\n".join(["", *lines]))


def verdict(value: float, bar: float) -> str:
    """Whether a figure keeps below its bar."""
    return "ok" if value <= bar else "MISSED"
