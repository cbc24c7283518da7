"""What only OpenVINO does: shared graphs, its library's traps, its precision setting."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_zoo.bundle import Bundle
from server.backends import BackendOptions
from server.backends.cpu_features import CpuFeatures
from server.backends.errors import BackendLoadError, BackendUnavailableError
from tests.server.fake_bundles import MeanColour, saturating

openvino = pytest.importorskip("server.backends.openvino")

FIRST_USE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from model_zoo.bundle import read_bundle
from server.backends import BackendOptions
from server.backends.openvino import load

bundle = read_bundle(Path(sys.argv[1]))
spec = bundle.spec.input
batch = np.zeros((1, spec.height, spec.width, spec.channels), np.uint8)
with ThreadPoolExecutor(4) as pool:
    instances = list(pool.map(lambda _: load(bundle, BackendOptions("cpu")), range(4)))
    answers = list(pool.map(lambda one: one.run(batch), instances))
print(len(answers), [name for name in sys.modules if "telemetry" in name or name == "openvino.tools.ovc"])
"""


@pytest.fixture(autouse=True)
def installed(bundle: Bundle) -> None:
    """Skip where the library is missing, with its own word on what to install."""
    try:
        openvino.load(bundle, BackendOptions("cpu")).close()
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def test_the_first_use_in_several_threads_neither_hangs_nor_phones_home(bundle: Bundle) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE, str(bundle.folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=1) == ["4", "[]\n"]


def test_instances_share_their_graphs_and_the_last_one_frees_them(store: Path) -> None:
    bundle = MeanColour(name="shared").write(store)
    before = set(openvino._in_use)
    first, second = (openvino.load(bundle, BackendOptions("cpu")) for _ in range(2))
    added = set(openvino._in_use) - before
    assert len(added) == 1
    first.close()
    assert len(second.run(np.zeros((1, 16, 12, 3), np.uint8))[0]) == 1
    assert added <= set(openvino._in_use)
    second.close()
    assert not added & set(openvino._in_use)


def test_other_options_have_graphs_of_their_own(store: Path) -> None:
    bundle = MeanColour(name="not_shared").write(store)
    before = set(openvino._in_use)
    options = [BackendOptions("cpu", threads, size) for threads, size in ((1, 2), (2, 2), (1, 3))]
    instances = [openvino.load(bundle, one) for one in options]
    assert len(set(openvino._in_use) - before) == 3
    for one in instances:
        one.close()


def test_reduced_precision_is_a_setting(bundle: Bundle) -> None:
    instance = openvino.load(bundle, BackendOptions("cpu", extra={"openvino.precision": "bf16"}))
    assert instance.precision == "bf16"
    instance.close()
    with pytest.raises(BackendLoadError, match=r"f32, bf16.*'int4'"):
        openvino.load(bundle, BackendOptions("cpu", extra={"openvino.precision": "int4"}))


def test_it_is_not_for_gpus(bundle: Bundle) -> None:
    with pytest.raises(BackendUnavailableError, match="onnxruntime runs on CUDA"):
        openvino.load(bundle, BackendOptions("cuda"))


def test_a_bundle_that_overflows_on_this_cpu_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_vnni = CpuFeatures("test", "x86_64", frozenset({"avx2"}))
    monkeypatch.setattr("server.backends.saturation.cpu_features", lambda: without_vnni)
    with pytest.raises(BackendLoadError, match="no VNNI"):
        openvino.load(saturating(store), BackendOptions("cpu"))


def test_a_missing_library_is_named_with_its_extra(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'quickeye\[fast\]'"):
        openvino.load(bundle, BackendOptions("cpu"))
    assert "openvino.tools.ovc" not in sys.modules or sys.modules["openvino.tools.ovc"] is not None
