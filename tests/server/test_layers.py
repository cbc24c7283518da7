"""What serving may load, who may import whom."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "optimize",
    "openvino",
    "onnxruntime",
    "matplotlib",
    "scipy",
    "sklearn",
    "pandas",
)


def loaded_after(code: str) -> set[str]:
    """Top-level modules in ``sys.modules`` once the code has run in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import server.app, server.commands.serve_store",
        "from server.app import create_app\nfrom server.config import Config\ncreate_app(Config())",
    ],
)
def test_serving_loads_neither_torch_nor_optimize_nor_onnx(code: str) -> None:
    loaded = loaded_after(code)
    assert {"server", "model_zoo", "fastapi"} <= loaded
    assert sorted(loaded & {*HEAVY, "onnx"}) == []


def test_the_command_line_loads_nothing_until_a_command_is_chosen() -> None:
    loaded = loaded_after("import quickeye\nquickeye.usage()")
    assert sorted(loaded & {*HEAVY, "onnx", "numpy", "PIL", "fastapi", "uvicorn", "server", "model_zoo"}) == []


def test_model_zoo_loads_neither_torch_nor_a_web_framework() -> None:
    modules = ("bundle", "store", "preprocess", "decode", "top_k", "labels", "check", "manifest")
    code = "import " + ", ".join(f"model_zoo.{name}" for name in modules)
    assert sorted(loaded_after(code) & {*HEAVY, "server", "fastapi", "starlette", "uvicorn"}) == []


def test_backends_load_no_web_framework() -> None:
    loaded = loaded_after("import server.backends.selection, server.backends.tuning, server.backends.fake")
    assert sorted(loaded & {"fastapi", "starlette", "uvicorn", "torch", "optimize"}) == []


def test_quickeye_stays_a_table() -> None:
    assert len((ROOT / "quickeye.py").read_text().splitlines()) < 60


@pytest.mark.slow
def test_import_linter_holds_the_arrows() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
