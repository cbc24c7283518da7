"""What is supported, which code runs where, what importing costs, and whether the kernel compiles for GPUs."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.spec import InputSpec, Resize
from server.backends.ragged import resizer, supports, twin
from tests.server.backends.ragged.batches import RGB, spec_of

COMPILE = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from server.backends.ragged.kernel import CHUNK_ROWS, TILE_ELEMENTS, TILE_ROWS, WARPS
from server.backends.ragged.program import resize_tile

output, normalised = sys.argv[2], sys.argv[2] != "*u8"
constants = dict(
    HEIGHT=224, WIDTH=224, CHANNELS=3, REACH=int(sys.argv[3]), NORMALISED=normalised, WHOLE_LEVELS=not normalised,
    TILE_ROWS=TILE_ROWS, TILE_ELEMENTS=TILE_ELEMENTS, CHUNK=CHUNK_ROWS,
)
pointers = dict(pixels="*u8", table="*i64", out=output, normalisation="*fp32" if normalised else output)
source = ASTSource(resize_tile, pointers | dict.fromkeys(constants, "constexpr"), constants)
binary = triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options={"num_warps": WARPS})
assert binary.asm["cubin"]
"""


@pytest.mark.parametrize(
    ("spec", "done"),
    [
        (RGB, True),
        (spec_of("letterbox", "lanczos"), True),
        (spec_of("stretch", "bilinear", 1), True),
        (spec_of("stretch", "nearest"), False),
        (replace(RGB, resize=Resize("stretch", 0, "bilinear", antialias=False)), False),
        (replace(RGB, crop="none"), False),
    ],
)
def test_antialiased_inputs_of_fixed_size_are_supported(spec: InputSpec, done: bool) -> None:
    assert supports(spec) is done


def test_the_twin_runs_where_there_is_no_gpu() -> None:
    assert resizer("cpu") is twin.resize


def test_the_kernel_runs_on_gpus() -> None:
    kernel = pytest.importorskip("server.backends.ragged.kernel", reason="needs Triton: pip install triton==3.7.1")
    assert resizer("cuda") is resizer("cuda:1") is kernel.resize


def test_the_door_and_the_packer_import_neither_torch_nor_triton() -> None:
    code = "import sys, server.backends.ragged.pack; assert not {'torch', 'triton'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "output", "reach"), [(75, "*u8", 3), (90, "*fp16", 2)])
def test_the_kernel_compiles_for_gpus(tmp_path: Path, capability: int, output: str, reach: int) -> None:
    """Triton carries its own assembler, so no GPU is needed; the interpreter forgives what the compiler does not."""
    pytest.importorskip("triton", reason="needs Triton: pip install triton==3.7.1")
    command = [sys.executable, "-c", COMPILE, str(capability), output, str(reach)]
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
