"""The models being served: which version answers, and that swapping loses nothing."""

import asyncio
import contextlib
import math
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

import model_zoo.store
from model_zoo.bundle import Bundle
from model_zoo.check import CheckVerdict
from model_zoo.errors import BundleError, UnknownModelError
from model_zoo.store import Store
from server.backends import BACKENDS
from server.catalogue import Catalogue
from server.config import Config
from server.errors import DrainingError, ForbiddenError, ModelUnavailableError
from server.job import Job
from server.metrics import Metrics
from server.served_model import LoadedModel, ServedModel
from tests.server.fake_bundles import MeanColour
from tests.server.gated_backend import WAIT_S, GatedBackend
from tests.server.mean_colour import SIDE, write_mean_colour


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """``apple`` with two versions, ``pear`` with one."""
    for name in ("apple", "apple", "pear"):
        write_mean_colour(tmp_path, name)
    return tmp_path


@contextlib.asynccontextmanager
async def catalogue_of(store: Path, **settings: object) -> AsyncIterator[Catalogue]:
    chosen = {"backend": "onnxruntime", "instances": 1, "max_batch_size": 2, **settings}
    config = Config(store=str(store), **chosen)  # type: ignore[arg-type]
    catalogue = Catalogue(config, Store(store), Metrics(lambda: ()))
    try:
        yield catalogue
    finally:
        await catalogue.close()


def red_job() -> Job:
    return Job(np.full((SIDE, SIDE, 3), (200, 0, 0), np.uint8), None, math.inf)


async def label(model: ServedModel) -> str:
    return (await model.submit(red_job())).best.label


def versions(catalogue: Catalogue) -> list[tuple[str, int]]:
    return [(model.spec.name, model.spec.version) for model in catalogue.served()]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> GatedBackend:
    """What every bundle is loaded onto in this test."""
    gated = GatedBackend()

    def load(config: Config, bundle: Bundle) -> LoadedModel:
        return LoadedModel(bundle, (gated,), CheckVerdict(True, 0.0, "passed"), (), 1, 2)

    monkeypatch.setattr("server.catalogue.load", load)
    return gated


def break_bundle(store: Path, name: str, version: int) -> None:
    model = store / name / str(version) / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")


def test_the_newest_of_everything_is_served_and_the_first_name_is_the_default(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            await catalogue.load_configured()
            assert versions(catalogue) == [("apple", 2), ("pear", 1)]
            assert catalogue.find().spec.name == "apple"
            assert await label(catalogue.find()) == "red"

    asyncio.run(scenario())


def test_what_the_configuration_names_is_served_in_its_order(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("pear", "apple/1", "apple/2")) as catalogue:
            await catalogue.load_configured()
            assert versions(catalogue) == [("apple", 1), ("apple", 2), ("pear", 1)]
            assert catalogue.find().spec.name == "pear"
            assert catalogue.find("apple").spec.version == 2
            assert catalogue.find("apple", 1).spec.version == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "version"), [("plum", None), ("apple", 1), ("apple", 99), ("../apple", None), ("", 1)]
)
def test_what_is_not_served_is_unknown(store: Path, name: str, version: int | None) -> None:
    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            with pytest.raises(UnknownModelError, match="no model is being served"):
                catalogue.find()
            await catalogue.load_configured()
            with pytest.raises(UnknownModelError):
                catalogue.find(name, version)

    asyncio.run(scenario())


@pytest.mark.parametrize("models", [("plum",), ("apple/3",), ("no/such/model",)])
def test_a_configured_model_that_is_missing_is_said(store: Path, models: tuple[str, ...]) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=models) as catalogue:
            with pytest.raises(UnknownModelError):
                await catalogue.load_configured()

    asyncio.run(scenario())


def test_an_empty_store_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(tmp_path) as catalogue:
            with pytest.raises(UnknownModelError, match="has no bundles"):
                await catalogue.load_configured()

    asyncio.run(scenario())


def test_a_version_that_our_engine_does_not_run_is_passed_over(tmp_path: Path) -> None:
    MeanColour(name="plum", runs_on=("onnxruntime",)).write(tmp_path)
    MeanColour(name="plum", runs_on=("openvino",)).write(tmp_path)

    async def scenario() -> None:
        async with catalogue_of(tmp_path) as catalogue:
            await catalogue.load_configured()
            assert versions(catalogue) == [("plum", 1)]
            await catalogue.load("plum", 2)
            assert versions(catalogue) == [("plum", 1), ("plum", 2)], "asked for by name, it is tried"

    asyncio.run(scenario())


def test_on_a_gpu_the_newest_float_version_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "onnxruntime", "tests.server.test_loading:load_on_gpu")
    for precision in ("fp32", "fp32", "int8"):
        MeanColour(name="plum", precision=precision).write(tmp_path)

    async def scenario() -> None:
        async with catalogue_of(tmp_path, device="cuda") as catalogue:
            await catalogue.load_configured()
            assert versions(catalogue) == [("plum", 2)]

    asyncio.run(scenario())


def test_the_largest_batch_is_that_of_the_instance_whose_memory_is_least(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple",), instances=2) as catalogue:
            await catalogue.load_configured()

            def told() -> list[float]:
                return [value for name, _, value in catalogue.gauges() if name == "quickeye_largest_batch"]

            assert told() == [2]
            catalogue.find("apple").loaded.backends[1].largest_batch = 1  # type: ignore[attr-defined]
            assert told() == [1]

    asyncio.run(scenario())


def test_the_device_s_seconds_are_those_of_all_instances(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple",), instances=2) as catalogue:
            await catalogue.load_configured()

            def told() -> list[tuple[tuple[str, ...], float]]:
                return [(labels, s) for name, labels, s in catalogue.gauges() if name == "quickeye_device_seconds"]

            assert told() == [], "an engine without a clock of its own"
            for backend in catalogue.find("apple").loaded.backends:
                backend.device_seconds = {"run": 0.25, "copy_in": 0.5}  # type: ignore[attr-defined]
            assert told() == [(("apple", "run"), 0.5), (("apple", "copy_in"), 1.0)]

    asyncio.run(scenario())


def test_decoded_pictures_are_those_of_all_instances_warming_up_included(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple",), instances=2) as catalogue:
            await catalogue.load_configured()

            def told() -> dict[str, float]:
                return {labels[1]: n for name, labels, n in catalogue.gauges() if name == "quickeye_decoded_images"}

            warmed = told()
            assert warmed["cpu"] > 0 and warmed["gpu"] == 0
            for instance in catalogue.find("apple").instances:
                instance.decoded["gpu"] += 3
            assert told() == {"cpu": warmed["cpu"], "gpu": 6}

    asyncio.run(scenario())


def test_only_8_bit_versions_for_a_gpu_are_refused_with_the_reason(tmp_path: Path) -> None:
    MeanColour(name="plum", precision="int8").write(tmp_path)

    async def scenario() -> None:
        async with catalogue_of(tmp_path, device="cuda") as catalogue:
            with pytest.raises(ModelUnavailableError, match="device 'cuda', which takes float bundles"):
                await catalogue.load_configured()

    asyncio.run(scenario())


def test_a_swap_answers_what_the_old_version_admitted(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple/1",)) as catalogue:
            await catalogue.load_configured()
            old = catalogue.find("apple")
            futures = [old.submit(red_job()) for _ in range(50)]
            new = await catalogue.load("apple")
            assert catalogue.find("apple") is new
            assert versions(catalogue) == [("apple", 2)]
            assert {(await future).best.label for future in futures} == {"red"}
            await asyncio.gather(*catalogue._retiring)
            with pytest.raises(DrainingError):
                old.submit(red_job())
            assert await label(new) == "red"

    asyncio.run(scenario())


def test_loading_one_version_keeps_the_others(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple",)) as catalogue:
            await catalogue.load_configured()
            await catalogue.load("apple", 1)
            assert versions(catalogue) == [("apple", 1), ("apple", 2)]
            assert catalogue.find("apple").spec.version == 2

    asyncio.run(scenario())


def test_a_broken_bundle_is_refused_and_the_old_version_keeps_answering(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple/1",)) as catalogue:
            await catalogue.load_configured()
            break_bundle(store, "apple", 2)
            for version in (None, 2):
                with pytest.raises(ModelUnavailableError, match=r"apple cannot be served.*model\.onnx"):
                    await catalogue.load("apple", version)
            assert versions(catalogue) == [("apple", 1)]
            assert await label(catalogue.find()) == "red"

    asyncio.run(scenario())


def last_loads(catalogue: Catalogue) -> dict[str, float]:
    """Model → what ``quickeye_model_last_load_successful`` says."""
    name = "quickeye_model_last_load_successful"
    return {labels[0]: value for each, labels, value in catalogue.gauges() if each == name}


def test_a_failed_load_is_told_until_one_ends_well(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            assert last_loads(catalogue) == {}
            await catalogue.load_configured()
            assert last_loads(catalogue) == {"apple": 1, "pear": 1}
            break_bundle(store, "apple", 2)
            with pytest.raises(ModelUnavailableError):
                await catalogue.load("apple")
            assert last_loads(catalogue) == {"apple": 0, "pear": 1}
            assert "apple cannot be served" in caplog.text
            with pytest.raises(UnknownModelError):
                await catalogue.load("nobody")
            assert "nobody" not in last_loads(catalogue)
            await catalogue.load("apple", 1)
            assert last_loads(catalogue) == {"apple": 1, "pear": 1}

    asyncio.run(scenario())


def test_a_model_without_an_engine_here_is_a_failed_load(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.catalogue.BACKENDS", {"other": None})

    async def scenario() -> None:
        async with catalogue_of(store, backend="auto") as catalogue:
            with pytest.raises(ModelUnavailableError, match="pear cannot be served: no version of it runs on other"):
                await catalogue.load("pear")
            assert last_loads(catalogue) == {"pear": 0}

    asyncio.run(scenario())


def test_nothing_is_told_of_the_loads_of_a_deleted_model(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            await catalogue.load_configured()
            await catalogue.delete("apple", 1)
            assert last_loads(catalogue) == {"apple": 1, "pear": 1}
            await catalogue.delete("apple")
            assert last_loads(catalogue) == {"pear": 1}

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["load", "load a version", "delete"])
def test_a_failed_load_is_forgotten_when_the_store_has_the_model_no_more(store: Path, how: str) -> None:
    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            break_bundle(store, "apple", 2)
            with pytest.raises(ModelUnavailableError):
                await catalogue.load("apple")
            with pytest.raises(UnknownModelError):
                await catalogue.load("apple", 3)
            with pytest.raises(UnknownModelError):
                await catalogue.delete("apple", 3)
            assert last_loads(catalogue) == {"apple": 0}, "other versions are there, and may be loaded"
            shutil.rmtree(store / "apple")
            with pytest.raises(UnknownModelError):
                await {
                    "load": lambda: catalogue.load("apple"),
                    "load a version": lambda: catalogue.load("apple", 2),
                    "delete": lambda: catalogue.delete("apple"),
                }[how]()
            assert last_loads(catalogue) == {}

    asyncio.run(scenario())


def test_an_engine_is_closed_only_when_its_warming_is_over(
    store: Path, backend: GatedBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """As when SIGTERM comes while the server starts."""
    backend.gate.clear()

    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            loading = asyncio.ensure_future(catalogue.load("apple"))
            assert await asyncio.to_thread(backend.entered.acquire, timeout=WAIT_S)
            loading.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
            assert not backend.closed
            backend.gate.set()
            with pytest.raises(asyncio.CancelledError):
                await loading
            assert backend.closed
            assert catalogue.served() == []

    asyncio.run(scenario())
    assert "failed in backend" not in caplog.text


def test_an_engine_that_fails_while_warming_is_refused_and_closed(store: Path, backend: GatedBackend) -> None:
    backend.fault = lambda outputs: ()

    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            with pytest.raises(ModelUnavailableError):
                await catalogue.load("apple")
            assert catalogue.served() == []

    asyncio.run(scenario())
    assert backend.closed


def test_an_unloaded_default_gives_its_place_to_nobody(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple/1", "apple/2", "pear")) as catalogue:
            await catalogue.load_configured()
            await catalogue.unload("apple", 2)
            assert versions(catalogue) == [("apple", 1), ("pear", 1)]
            assert catalogue.find().spec.version == 1
            assert (catalogue.default, caplog.text) == ("apple", "")
            await catalogue.unload("apple")
            assert catalogue.default is None
            assert "the default model, apple, is not served" in caplog.text
            with pytest.raises(UnknownModelError, match="the default model, 'apple', was unloaded; name one: pear"):
                catalogue.find()
            assert catalogue.find("pear").spec.name == "pear"
            with pytest.raises(UnknownModelError):
                await catalogue.unload("apple")
            await catalogue.load("apple")
            assert (catalogue.default, catalogue.find().spec.version) == ("apple", 2)

    asyncio.run(scenario())


def test_where_nothing_is_served_the_next_model_is_the_default(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store, models=("apple",)) as catalogue:
            await catalogue.load_configured()
            await catalogue.unload("apple")
            with pytest.raises(UnknownModelError, match="no model is being served"):
                catalogue.find()
            await catalogue.load("pear")
            await catalogue.load("apple")
            assert catalogue.find().spec.name == "pear"

    asyncio.run(scenario())


def test_deleting_one_version_and_then_all(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            await catalogue.load_configured()
            assert await catalogue.delete("apple", 1) == [1]
            assert Store(store).versions("apple") == [2]
            assert versions(catalogue) == [("apple", 2), ("pear", 1)], "version 1 was not being served"
            assert await catalogue.delete("apple") == [2]
            assert versions(catalogue) == [("pear", 1)]
            for version in (None, 2):
                with pytest.raises(UnknownModelError):
                    await catalogue.delete("apple", version)
            with pytest.raises(UnknownModelError):
                await catalogue.load("apple")

    asyncio.run(scenario())
    assert not (store / "apple").exists()


def test_the_shipped_store_is_not_deleted_from(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_zoo.store, "shipped_store", lambda: Store(store))

    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            await catalogue.load_configured()
            with pytest.raises(ForbiddenError, match="read-only"):
                await catalogue.delete("pear")
            assert await label(catalogue.find("pear")) == "red"

    asyncio.run(scenario())
    assert Store(store).versions("pear") == [1]


def test_where_the_disk_refuses_the_model_serves_on(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: Store, name: str, version: int) -> None:
        raise BundleError("can't be removed: the disk is read-only")

    monkeypatch.setattr(Store, "remove", refuses)

    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            await catalogue.load_configured()
            with pytest.raises(BundleError):
                await catalogue.delete("pear")
            assert await label(catalogue.find("pear")) == "red"

    asyncio.run(scenario())


def test_what_a_replaced_version_still_runs_counts_at_the_end(store: Path, backend: GatedBackend) -> None:
    """SIGTERM right after an unload: the drain waits for the old version's work too."""

    async def scenario() -> None:
        async with catalogue_of(store, models=("apple",)) as catalogue:
            await catalogue.load_configured()
            while backend.entered.acquire(blocking=False):
                pass
            backend.gate.clear()
            running = catalogue.find().submit(red_job())
            assert await asyncio.to_thread(backend.entered.acquire, True, WAIT_S)
            await catalogue.unload("apple")
            assert await catalogue.drain(0.0) == 1
            gauges = {(name, labels): value for name, labels, value in catalogue.gauges()}
            assert gauges[("quickeye_inflight_images", ("apple",))] == 1.0
            backend.gate.set()
            assert await catalogue.drain(WAIT_S) == 0
            assert (await running).best.label == "red"

    asyncio.run(scenario())
    assert backend.closed


def test_giving_up_reaches_replaced_versions(store: Path, backend: GatedBackend) -> None:

    async def scenario() -> None:
        async with catalogue_of(store, models=("apple",)) as catalogue:
            await catalogue.load_configured()
            backend.gate.clear()
            running = catalogue.find().submit(red_job())
            await catalogue.unload("apple")
            catalogue.give_up()
            with pytest.raises(DrainingError):
                await running
            backend.gate.set()

    asyncio.run(scenario())


def test_a_store_that_vanishes_does_not_disturb_what_is_served(store: Path) -> None:
    async def scenario() -> None:
        async with catalogue_of(store) as catalogue:
            await catalogue.load_configured()
            shutil.rmtree(store / "apple")
            assert await label(catalogue.find("apple")) == "red"
            with pytest.raises(UnknownModelError):
                await catalogue.load("apple")
            assert await label(catalogue.find("apple")) == "red"

    asyncio.run(scenario())
