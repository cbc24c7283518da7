"""The line of engines: who is tried, in which order, and what is said when nobody fits."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_zoo.bundle import Bundle
from server.backends import BACKENDS, Backend, BackendOptions, selection
from server.backends.cpu_features import CpuFeatures
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError, CheckFailedError
from server.backends.selection import candidates, open_backend, prove
from tests.server.fake_bundles import MeanColour, wrong_check

AVX2 = CpuFeatures("test", "x86_64", frozenset({"avx2"}))
AMX = CpuFeatures("test", "x86_64", frozenset({"amx_tile", "amx_bf16"}))


@pytest.fixture(autouse=True)
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever CPU this runs on."""
    monkeypatch.setattr(selection, "cpu_features", lambda: AVX2)


class Scripted:
    """An engine that answers with what a test gives it."""

    device = "cpu"
    precision = "fp32"
    closed = 0

    def __init__(self, name: str, outputs: tuple[np.ndarray, ...] | BackendError) -> None:
        self.name = name
        self.outputs = outputs

    def run(self, batch: np.ndarray, explain: bool = False) -> tuple[np.ndarray, ...]:
        if isinstance(self.outputs, BackendError):
            raise self.outputs
        return self.outputs

    def close(self) -> None:
        Scripted.closed += 1


def right(bundle: Bundle) -> tuple[np.ndarray, ...]:
    return tuple(bundle.check().outputs.values())


def wrong(bundle: Bundle) -> tuple[np.ndarray, ...]:
    return tuple(values + 9 for values in right(bundle))


def script(monkeypatch: pytest.MonkeyPatch, **engines: Backend | BackendError) -> list[tuple[str, BackendOptions]]:
    """Put engines in the table's place; returns what gets loaded."""
    loaded: list[tuple[str, BackendOptions]] = []
    for name in engines:

        def load(bundle: Bundle, options: BackendOptions, name: str = name) -> Backend:
            loaded.append((name, options))
            found = engines[name]
            if isinstance(found, BackendError):
                raise found
            return found

        monkeypatch.setattr(sys.modules[__name__], f"load_{name}", load, raising=False)
        monkeypatch.setitem(BACKENDS, name, f"{__name__}:load_{name}")
    monkeypatch.setattr(Scripted, "closed", 0)
    return loaded


CPU = BackendOptions("cpu")


def test_the_first_that_passes_serves(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Scripted("openvino", right(bundle)), Scripted("onnxruntime", right(bundle))
    loaded = script(monkeypatch, openvino=first, onnxruntime=second)
    opened = open_backend(bundle, CPU)
    assert opened.backend is first
    assert opened.verdict.passed
    assert opened.refused == ()
    assert opened.label == "openvino"
    assert [name for name, _ in loaded] == ["openvino"]


def test_one_with_other_answers_is_passed_over_closed_and_named(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Scripted("onnxruntime", right(bundle))
    script(monkeypatch, openvino=Scripted("openvino", wrong(bundle)), onnxruntime=second)
    opened = open_backend(bundle, CPU)
    assert opened.backend is second
    ((label, reason),) = opened.refused
    assert label == "openvino"
    assert "logits differs by 9" in reason
    assert Scripted.closed == 1


def test_a_rounding_that_the_check_refuses_is_no_warning(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(selection, "cpu_features", lambda: AMX)
    opened_by = {"bf16": Scripted("openvino", wrong(bundle)), "f32": Scripted("openvino", right(bundle))}

    def load(_: Bundle, options: BackendOptions) -> Scripted:
        return opened_by[options.extra.get("openvino.precision", "f32")]

    monkeypatch.setattr("server.backends.openvino.load", load)
    with caplog.at_level("INFO"):
        opened = open_backend(bundle, CPU, "openvino")
    assert (opened.label, [label for label, _ in opened.refused]) == ("openvino", ["openvino bf16"])
    assert [record.levelname for record in caplog.records if "passed over" in record.message] == ["INFO"]


def test_one_that_fails_while_running_is_closed_too(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, openvino=Scripted("openvino", BackendError("broke")), onnxruntime=Scripted("x", right(bundle)))
    assert open_backend(bundle, CPU).refused == (("openvino", "broke"),)
    assert Scripted.closed == 1


def test_a_named_engine_is_not_replaced(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = script(monkeypatch, openvino=Scripted("x", wrong(bundle)), onnxruntime=Scripted("x", right(bundle)))
    with pytest.raises(CheckFailedError, match="'conformance' version 1"):
        open_backend(bundle, CPU, "openvino")
    assert [name for name, _ in loaded] == ["openvino"]


def test_a_preferred_engine_is_tried_first_and_may_be_replaced(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = script(monkeypatch, openvino=Scripted("o", right(bundle)), onnxruntime=BackendLoadError("no"))
    opened = open_backend(bundle, CPU, prefer="onnxruntime")
    assert [name for name, _ in loaded] == ["onnxruntime", "openvino"]
    assert opened.refused == (("onnxruntime", "no"),)


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (BackendUnavailableError("install a"), BackendUnavailableError("install b"), BackendUnavailableError),
        (BackendUnavailableError("install a"), BackendLoadError("odd graph"), BackendLoadError),
        (BackendLoadError("odd graph"), CheckFailedError("other answers"), CheckFailedError),
        (BackendError("broke"), BackendLoadError("odd graph"), BackendError),
    ],
)
def test_when_nobody_is_left_all_reasons_are_told(
    first: BackendError, second: BackendError, kind: type, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, openvino=first, onnxruntime=second)
    with pytest.raises(kind) as caught:
        open_backend(bundle, CPU)
    assert type(caught.value) is kind
    assert f"openvino: {first}" in str(caught.value)
    assert f"onnxruntime: {second}" in str(caught.value)


def test_an_unknown_engine_is_refused_with_the_known_ones(bundle: Bundle) -> None:
    with pytest.raises(BackendUnavailableError, match="no backend 'tflite'; there are: onnxruntime"):
        open_backend(bundle, CPU, "tflite")


def test_engines_that_the_bundle_does_not_name_are_not_tried(store: Path) -> None:
    bundle = MeanColour(name="ort_only", runs_on=("onnxruntime",)).write(store)
    assert [one.label for one in candidates(bundle, CPU, features=AVX2)] == ["onnxruntime"]


def test_a_bundle_for_engines_that_are_not_here_says_so(store: Path) -> None:
    bundle = MeanColour(name="elsewhere", runs_on=("coreml",)).write(store)
    with pytest.raises(BackendUnavailableError, match="runs on coreml"):
        open_backend(bundle, CPU)


def test_the_fake_engine_serves_only_when_named(bundle: Bundle) -> None:
    assert "fake" not in [one.backend for one in candidates(bundle, BackendOptions(), cuda=lambda: True)]
    opened = open_backend(bundle, BackendOptions(), "fake")
    assert opened.backend.name == "fake"
    assert opened.verdict.detail.startswith("not checked")


def test_a_gpu_comes_first_where_there_is_one(bundle: Bundle) -> None:
    line = candidates(bundle, BackendOptions("auto"), features=AVX2, cuda=lambda: True)
    assert [(one.label, one.options.device) for one in line] == [
        ("onnxruntime on cuda", "cuda"),
        ("openvino", "cpu"),
        ("onnxruntime", "cpu"),
    ]
    assert [one.label for one in candidates(bundle, CPU, features=AVX2, cuda=lambda: True)] == [
        "openvino",
        "onnxruntime",
    ]
    assert [one.label for one in candidates(bundle, BackendOptions("cuda"))] == ["onnxruntime on cuda"]


def test_float_weights_go_to_torch_on_a_gpu_in_half_precision_first(store: Path) -> None:
    network = MeanColour(name="network", network=True).write(store)
    found = {"cuda": lambda: True, "torch_cuda": lambda: True}
    labels = ["torch fp16 on cuda", "torch fp32 on cuda", "onnxruntime on cuda"]
    assert [one.label for one in candidates(network, BackendOptions("cuda"), **found)] == labels
    line = candidates(network, BackendOptions("auto"), features=AVX2, **found)
    assert [one.label for one in line] == [*labels, "openvino", "onnxruntime"]
    assert [one.options.extra.get("torch.precision") for one in line[:3]] == [None, "fp32", None]
    by_hand = BackendOptions("cuda", extra={"torch.precision": "fp16"})
    assert [one.label for one in candidates(network, by_hand, "torch", **found)] == ["torch on cuda"]
    assert [one.label for one in candidates(network, CPU, features=AVX2, **found)] == ["openvino", "onnxruntime"]


def test_a_graph_without_float_weights_does_not_go_to_torch(bundle: Bundle) -> None:
    line = candidates(bundle, BackendOptions("cuda"), cuda=lambda: True, torch_cuda=lambda: True)
    assert [one.label for one in line] == ["onnxruntime on cuda"]


def test_a_gpu_takes_larger_batches_where_nobody_says(bundle: Bundle) -> None:
    open_size = BackendOptions("auto", max_batch_size=0)
    line = candidates(bundle, open_size, features=AVX2, cuda=lambda: True)
    assert [one.options.max_batch_size for one in line] == [256, 8, 8]
    asked = candidates(bundle, BackendOptions("auto", max_batch_size=4), features=AVX2, cuda=lambda: True)
    assert [one.options.max_batch_size for one in asked] == [4, 4, 4]


def test_int8_stays_on_the_cpu(bundle: Bundle) -> None:
    int8 = replace(bundle, spec=replace(bundle.spec, precision="int8"))
    line = candidates(int8, BackendOptions("auto"), features=AMX, cuda=lambda: True)
    assert [one.label for one in line] == ["openvino", "onnxruntime"]


@pytest.mark.parametrize("features", [AMX, CpuFeatures("test", "x86_64", frozenset({"avx512_bf16"}))])
def test_bfloat16_is_tried_first_where_the_cpu_has_it(bundle: Bundle, features: CpuFeatures) -> None:
    line = candidates(bundle, CPU, features=features)
    assert [one.label for one in line] == ["openvino bf16", "openvino", "onnxruntime"]
    assert line[0].options.extra == {"openvino.precision": "bf16"}
    by_hand = replace(CPU, extra={"openvino.precision": "f32"})
    assert [one.label for one in candidates(bundle, by_hand, features=features)] == ["openvino", "onnxruntime"]


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 8])
def test_the_check_runs_in_batches_that_the_instance_takes(at_once: int, bundle: Bundle) -> None:
    sizes: list[int] = []
    kind = MeanColour(name="conformance", embedding=True)

    class Numpy(Scripted):
        def run(self, batch: np.ndarray, explain: bool = False) -> tuple[np.ndarray, ...]:
            sizes.append(len(batch))
            return kind.expected(batch)

    assert prove(Numpy("numpy", ()), bundle, at_once).passed
    assert sum(sizes) == 4
    assert max(sizes) == min(at_once, 4)


def test_too_few_rows_fail_the_check(bundle: Bundle) -> None:
    short = Scripted("short", tuple(values[:3] for values in right(bundle)))
    assert not prove(short, bundle, 8).passed


def test_a_stale_bundle_is_refused_by_the_real_engines(store: Path) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'quickeye[cpu]'")
    with pytest.raises(CheckFailedError, match="logits differs by 5"):
        open_backend(wrong_check(store), CPU)


def test_nothing_of_the_web_is_loaded() -> None:
    code = "import sys, server.backends.selection, server.backends.tuning, server.benchmark; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout
    for name in ("fastapi", "starlette", "uvicorn", "torch", "onnxruntime", "openvino", "onnx"):
        assert f"'{name}'" not in loaded
    assert selection.__name__ in loaded
