"""What only ONNX Runtime does: providers, exact 8-bit sums, quiet threads."""

import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model_zoo.bundle import Bundle, write_bundle
from model_zoo.errors import BundleError
from server.backends import BackendOptions
from server.backends.cpu_features import CpuFeatures, cpu_features
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.onnxruntime import OnnxRuntimeBackend, load
from server.backends.onnxruntime_providers import NAMES, choose_providers
from server.backends.saturation import may_saturate
from server.backends.selection import prove, takes
from tests.server.fake_bundles import ByteConvolution, MeanColour, saturating

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'quickeye[cpu]'")

WITHOUT_VNNI = CpuFeatures("test", "x86_64", frozenset({"avx2"}))
WITH_CUDA = SimpleNamespace(
    get_available_providers=lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
)


def test_eight_bit_sums_are_exact_on_this_cpu(store: Path) -> None:
    bundle = saturating(store)
    instance = load(bundle, BackendOptions("cpu"))
    assert prove(instance, bundle, 8).passed
    instance.close()


@pytest.mark.skipif(not cpu_features().saturates_u8s8, reason="this CPU sums exactly by itself")
def test_without_exact_sums_the_same_bundle_is_wrong(store: Path) -> None:
    """Else the test above would say nothing."""
    bundle = saturating(store)
    instance = load(bundle, BackendOptions("cpu", extra={"onnxruntime.exact": "0"}))
    assert not prove(instance, bundle, 8).passed
    instance.close()


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_fast_sums_of_weights_that_cannot_overflow_are_exact(kernel: int, seed: int, store: Path) -> None:
    generator = np.random.default_rng(seed)
    # Any three neighbours stay within 128 with one of them at its largest, however they are paired.
    weights = generator.integers(-42, 43, (8, 3, kernel, kernel)).astype(np.int8)
    convolution = ByteConvolution(weights)
    bundle = convolution.write(store, f"safe_{kernel}_{seed}")
    instance = load(bundle, BackendOptions("cpu", extra={"onnxruntime.exact": "0"}))
    bright = generator.integers(200, 256, (4, 8, 8, 3), dtype=np.uint8)
    expected = convolution.expected(bright, convolution.scale())
    np.testing.assert_allclose(instance.run(bright)[0], expected, atol=0.1)
    instance.close()


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("channels", [3, 4, 7, 8, 20])
@pytest.mark.parametrize("every", [2, 4])
def test_weights_that_are_said_to_be_safe_are_summed_exactly(kernel: int, channels: int, every: int) -> None:
    """Large weights with small neighbours: exact only where the runtime pairs them as ``saturation`` says."""
    weights = np.zeros((8, channels, kernel, kernel), np.int8)
    weights[:, ::every] = 127
    weights[:, every // 2 :: every] = -127 if every == 2 else 127
    convolution = ByteConvolution(weights)
    if may_saturate(convolution.graph()):
        assert channels % 2 and kernel > 1
        return
    batch = np.random.default_rng(0).integers(180, 256, (2, 8, 8, channels), dtype=np.uint8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(convolution.graph(), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": batch})[0]
    np.testing.assert_allclose(found, convolution.expected(batch, convolution.scale()), atol=0.1)


@pytest.mark.parametrize(("precision", "weights", "exact"), [("int8", 127, True), ("int8", 40, False)])
def test_exact_sums_are_asked_for_only_where_they_are_needed(
    precision: str, weights: int, exact: bool, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.backends.saturation.cpu_features", lambda: WITHOUT_VNNI)
    asked: list[bool] = []
    original = sys.modules["server.backends.onnxruntime"]._session_options  # type: ignore[attr-defined]

    def watch(runtime: object, bundle: Bundle, options: BackendOptions, wanted: bool) -> object:
        asked.append(wanted)
        return original(runtime, bundle, options, wanted)

    monkeypatch.setattr("server.backends.onnxruntime._session_options", watch)
    bundle = ByteConvolution(np.full((2, 3, 1, 1), weights, np.int8)).write(store, f"asked_{weights}")
    load(bundle, BackendOptions("cpu")).close()
    assert bundle.spec.precision == precision
    assert asked == [exact]


def test_an_instance_of_one_thread_has_no_pool(bundle: Bundle) -> None:
    def native_threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    if not Path("/proc/self/task").exists():
        pytest.skip("counting native threads needs Linux")
    before = native_threads()
    instance = load(bundle, BackendOptions("cpu", threads=1))
    instance.run(np.zeros((1, 16, 12, 3), np.uint8))
    assert native_threads() == before
    instance.close()


def test_a_failure_while_running_leaves_the_instance_usable(bundle: Bundle) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    class Session:
        """Fails once."""

        def __init__(self) -> None:
            self.failed = False

        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(name="images", type="tensor(uint8)", shape=["N", 16, 12, 3])]

        def get_outputs(self) -> list[SimpleNamespace]:
            return []

        def run(self, outputs: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            if not self.failed:
                self.failed = True
                raise RuntimeException("a node\n   broke")
            return [np.zeros((len(feeds["images"]), 10), np.float32) for _ in outputs]

    instance = OnnxRuntimeBackend(Session(), bundle, 8, "cpu", (RuntimeException,))  # type: ignore[arg-type]
    batch = np.zeros((2, 16, 12, 3), np.uint8)
    with pytest.raises(BackendError, match="batch of 2: a node broke") as caught:
        instance.run(batch)
    assert isinstance(caught.value.__cause__, RuntimeException)
    assert instance.run(batch)[0].shape == (2, 10)


def test_nothing_is_printed(bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    instance = load(bundle, BackendOptions("cpu"))
    instance.run(np.zeros((1, 16, 12, 3), np.uint8))
    instance.close()
    assert capfd.readouterr() == ("", "")


def test_a_gpu_that_is_not_there_is_refused_with_what_to_install(bundle: Bundle) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(BackendUnavailableError, match=r"pip install 'quickeye\[gpu\]'"):
        load(bundle, BackendOptions("cuda"))


def test_int8_bundles_are_not_for_gpus(store: Path) -> None:
    spec = saturating(store).spec
    with pytest.raises(BackendLoadError, match="int8 bundles are for CPUs"):
        choose_providers(WITH_CUDA, spec, BackendOptions("cuda"), {})  # type: ignore[arg-type]


def test_providers_are_configured_by_their_short_names(bundle: Bundle) -> None:
    extras = {"providers": "tensorrt, cuda", "device_id": "1", "trt_fp16": "yes", "trt_cache": "/tmp/engines"}
    found = choose_providers(WITH_CUDA, bundle.spec, BackendOptions("cuda"), extras)  # type: ignore[arg-type]
    assert [one.name.removesuffix("ExecutionProvider") for one in found] == ["Tensorrt", "CUDA", "CPU"]
    assert [one.device for one in found] == ["cuda", "cuda", "cpu"]
    assert found[0].options["trt_fp16_enable"] == "True"
    assert found[0].options["trt_engine_cache_path"] == "/tmp/engines"
    assert found[1].options["device_id"] == "1"


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_cpu_is_the_default(device: str, bundle: Bundle) -> None:
    options = BackendOptions("cpu" if device == "cpu" else "auto")
    found = choose_providers(WITH_CUDA, bundle.spec, options, {})  # type: ignore[arg-type]
    assert [(one.name, one.options) for one in found] == [("CPUExecutionProvider", {})]


def test_an_unknown_setting_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BackendLoadError, match=r"no setting 'onnxruntime\.provider'; it has: .*providers"):
        load(bundle, BackendOptions("cpu", extra={"onnxruntime.provider": "cpu"}))


def test_a_missing_library_is_named_with_its_extra(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'quickeye\[cpu\]'"):
        load(bundle, BackendOptions("cpu"))


def test_no_thread_of_ours_is_left(store: Path) -> None:
    before = threading.active_count()
    instance = load(MeanColour(name="threads").write(store), BackendOptions("cpu", threads=2))
    instance.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("providers", "has_twin", "says"),
    [
        ("cuda", False, "serve the float model it was made of"),
        ("cuda", True, "onnxruntime.providers=tensorrt"),
        ("tensorrt", False, "symmetric_twin = true"),
    ],
)
def test_int8_on_a_gpu_is_refused_in_one_line_that_says_what_to_do(
    bundle: Bundle, providers: str, has_twin: bool, says: str
) -> None:
    runtime = SimpleNamespace(get_available_providers=lambda: list(NAMES.values()))
    spec = replace(bundle.spec, precision="int8")
    with pytest.raises(BackendLoadError, match=says) as caught:
        choose_providers(runtime, spec, BackendOptions("cuda"), {"providers": providers}, has_twin=has_twin)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_tensorrt_takes_a_bundle_with_a_twin_and_nothing_else_does(store: Path) -> None:
    runtime = SimpleNamespace(get_available_providers=lambda: list(NAMES.values()))
    made = replace(MeanColour(name="twin", precision="int8").draft(), twin=MeanColour().graph())
    found = write_bundle(store, made)
    assert found.read_twin() == made.twin
    extras = {"providers": "tensorrt"}
    first, *_ = choose_providers(runtime, found.spec, BackendOptions("cuda"), extras, has_twin=found.has_twin)  # type: ignore[arg-type]
    assert (first.options["trt_int8_enable"], first.options["trt_fp16_enable"]) == ("True", "True")
    extra = {"onnxruntime.providers": "tensorrt"}
    assert takes(found, "onnxruntime", on_gpu=True, extra=extra)
    assert not takes(found, "onnxruntime", on_gpu=True)
    plain = write_bundle(store, replace(made, twin=None))
    assert plain.read_twin() is None
    assert not takes(plain, "onnxruntime", on_gpu=True, extra=extra)
    with pytest.raises(BundleError, match="for 8-bit bundles"):
        write_bundle(store, replace(made, precision="fp32"))


class WithTensorRT:
    """An ONNX Runtime that says it has TensorRT and runs on the CPU; ``asked`` is what sessions were opened with."""

    SessionOptions = onnxruntime.SessionOptions
    ExecutionMode = onnxruntime.ExecutionMode
    GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, list[tuple[str, dict[str, str]]]]] = []

    def get_available_providers(self) -> list[str]:
        return list(NAMES.values())

    def InferenceSession(
        self, data: bytes, settings: object, providers: list[tuple[str, dict[str, str]]], enable_fallback: int
    ) -> object:
        self.asked.append((data, providers))
        session = onnxruntime.InferenceSession(data, settings, providers=[NAMES["cpu"]])
        session.get_providers = lambda: [name for name, _ in providers]
        return session


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> WithTensorRT:
    runtime = WithTensorRT()
    monkeypatch.setattr("server.backends.onnxruntime._import_runtime", lambda: (runtime, (RuntimeError,)))
    return runtime


TWIN_OPTIONS = {"onnxruntime.providers": "tensorrt,cuda", "onnxruntime.memory": "copied"}


def with_twin(store: Path, name: str) -> Bundle:
    """An 8-bit bundle whose twin has other answers, so that it shows which graph runs."""
    kind = MeanColour(name=name, precision="int8")
    return write_bundle(store, replace(kind.draft(), twin=ByteConvolution(np.full((10, 3, 1, 1), 40, np.int8)).graph()))


def test_tensorrt_opens_the_twin_and_the_cpu_the_graph(store: Path, tensorrt: WithTensorRT) -> None:
    found = with_twin(store, "opened_twin")
    load(found, BackendOptions("cuda", extra=TWIN_OPTIONS)).close()
    load(found, BackendOptions("cpu")).close()
    (first, providers), (second, on_cpu) = tensorrt.asked
    assert first == found.read_twin() != found.read_model()
    assert [name for name, _ in providers] == [NAMES["tensorrt"], NAMES["cuda"], NAMES["cpu"]]
    assert providers[0][1] == {"device_id": "0", "trt_fp16_enable": "True", "trt_int8_enable": "True"}
    assert second == found.read_model()
    assert on_cpu == [(NAMES["cpu"], {})]


def test_tensorrt_opens_a_float_bundle_s_own_graph(store: Path, tensorrt: WithTensorRT) -> None:
    found = MeanColour(name="float_on_tensorrt").write(store)
    load(found, BackendOptions("cuda", extra=TWIN_OPTIONS)).close()
    ((data, providers),) = tensorrt.asked
    assert data == found.read_model()
    assert providers[0][1] == {"device_id": "0", "trt_fp16_enable": "False"}


def test_a_twin_that_is_not_what_was_written_is_refused(store: Path, tensorrt: WithTensorRT) -> None:
    found = with_twin(store, "changed_twin")
    path = found.folder / "model.s8.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.s8\.onnx"):
        load(found, BackendOptions("cuda", extra=TWIN_OPTIONS))
    assert not tensorrt.asked
