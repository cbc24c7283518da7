"""What every engine in ``BACKENDS`` must do; a newcomer is tested by its line in the table."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.bundle import Bundle, write_bundle
from model_zoo.check import DECISIVE_MARGIN
from model_zoo.errors import BundleError
from model_zoo.spec import OutputSpec
from model_zoo.store import shipped_store
from server.backends import BACKENDS, Backend, BackendOptions
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.selection import UNCHECKED, prove
from tests.server.fake_bundles import MeanColour

MAX_BATCH = 6
# Ways of an engine that it takes on GPUs, and on a CPU when asked: after its name, the setting.
WAYS = {"onnxruntime torch": "onnxruntime.memory", "onnxruntime fixed": "onnxruntime.memory"}
ENGINES = [*BACKENDS, *WAYS]
REAL = [name for name in ENGINES if name not in UNCHECKED]
GRAPHS = [name for name in ENGINES if name != "torch"]  # torch runs the float weights; the others the graph
Load = Callable[[Bundle, BackendOptions], Backend]

REAL_GRAPHS = [name for name in REAL if name in GRAPHS]


def suited(name: str, kind: MeanColour) -> MeanColour:
    """The same bundle for this engine: torch gives logits alone, and needs the network."""
    return kind if name in GRAPHS else replace(kind, embedding=False, network=True)


def loader(name: str) -> Load:
    module, _, function = BACKENDS[name.split()[0]].partition(":")
    found: Load = getattr(import_module(module), function)
    return found


def load(name: str, bundle: Bundle, options: BackendOptions | None = None) -> Backend:
    """Open an engine, or skip with the engine's own word on what to install."""
    options = options or BackendOptions(device="cpu", max_batch_size=MAX_BATCH)
    if name in WAYS:
        options = replace(options, extra={WAYS[name]: name.split()[1]})
    try:
        return loader(name)(bundle, options)
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def pictures(bundle: Bundle, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures whose mean colours differ: (count, height, width, channels)."""
    spec = bundle.spec.input
    generator = np.random.default_rng(seed)
    level = generator.integers(20, 236, (count, 1, 1, spec.channels))
    noise = generator.integers(-20, 20, (count, spec.height, spec.width, spec.channels))
    return (level + noise).astype(np.uint8)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each one's name."""
    name: str = request.param
    return name


@pytest.fixture
def bundle(engine: str, store: Path) -> Bundle:
    """One that the engine takes."""
    return suited(engine, MeanColour(name="each_engine", embedding=True)).write(store)


@pytest.fixture
def backend(engine: str, bundle: Bundle) -> Iterator[Backend]:
    """One loaded instance of each engine."""
    opened = load(engine, bundle)
    yield opened
    opened.close()


def test_it_says_what_it_is(backend: Backend) -> None:
    assert backend.name in BACKENDS
    assert backend.device == "cpu"
    assert backend.precision in ("fp32", "none")


@pytest.mark.parametrize("rows", range(1, MAX_BATCH + 1))
def test_every_batch_size_gives_all_outputs_in_order(backend: Backend, bundle: Bundle, rows: int) -> None:
    outputs = backend.run(pictures(bundle, rows))
    expected = bundle.check().outputs.values()
    assert [output.shape for output in outputs] == [(rows, *values.shape[1:]) for values in expected]
    assert all(output.dtype == np.float32 for output in outputs)


def test_a_row_does_not_depend_on_its_neighbours(backend: Backend, bundle: Bundle) -> None:
    batch = pictures(bundle, MAX_BATCH)
    together = backend.run(batch)
    for row in range(MAX_BATCH):
        alone = backend.run(batch[row : row + 1].copy())
        for whole, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(whole[row : row + 1], single, atol=1e-3)


def test_answers_follow_their_pictures(backend: Backend, bundle: Bundle) -> None:
    batch = pictures(bundle, MAX_BATCH)
    order = [3, 0, 5, 1, 4, 2]
    for straight, shuffled in zip(backend.run(batch), backend.run(batch[order]), strict=True):
        np.testing.assert_allclose(straight[order], shuffled, atol=1e-3)


def test_answers_are_not_overwritten_by_the_next_run(backend: Backend, bundle: Bundle) -> None:
    first = backend.run(pictures(bundle, 2, seed=1))
    kept = [output.copy() for output in first]
    backend.run(pictures(bundle, 2, seed=2))
    for output, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(output, copy)


def test_the_batch_is_not_changed(backend: Backend, bundle: Bundle) -> None:
    batch = pictures(bundle, 3)
    before = batch.copy()
    backend.run(batch)
    np.testing.assert_array_equal(batch, before)


def test_read_only_pixels_are_taken(backend: Backend, bundle: Bundle) -> None:
    batch = pictures(bundle, 2)
    expected = backend.run(batch)
    batch.flags.writeable = False
    for output, same in zip(backend.run(batch), expected, strict=True):
        np.testing.assert_array_equal(output, same)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda batch: batch[:, :-1],
        lambda batch: batch[0],
        lambda batch: batch.astype(np.float32),
        lambda batch: batch[:0],
        lambda batch: np.concatenate([batch] * 4),
        lambda batch: batch[:, ::-1],
        lambda batch: batch.transpose(0, 3, 1, 2).copy(),
    ],
    ids=["height", "no batch", "float", "empty", "over the limit", "not contiguous", "channels first"],
)
def test_a_wrong_batch_is_refused_and_does_no_harm(
    backend: Backend, bundle: Bundle, wrong: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    batch = pictures(bundle, 2)
    before = backend.run(batch)
    with pytest.raises(BackendError, match=r"batch"):
        backend.run(wrong(batch))
    for output, same in zip(backend.run(batch), before, strict=True):
        np.testing.assert_array_equal(output, same)


def test_closing_twice_is_fine_and_running_after_is_an_error(backend: Backend, bundle: Bundle) -> None:
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(pictures(bundle, 1))


def test_another_thread_may_use_it(backend: Backend, bundle: Bundle) -> None:
    batch = pictures(bundle, 3)
    here = backend.run(batch)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(backend.run, batch).result(timeout=60)
    for output, same in zip(here, there, strict=True):
        np.testing.assert_array_equal(output, same)


def test_several_instances_run_at_once(engine: str, bundle: Bundle) -> None:
    instances = [load(engine, bundle) for _ in range(3)]
    batches = [pictures(bundle, MAX_BATCH, seed) for seed in range(3)]
    expected = [instances[0].run(batch) for batch in batches]
    together = threading.Barrier(3)

    def repeat(number: int) -> list[tuple[NDArray[np.float32], ...]]:
        together.wait(timeout=60)
        return [instances[number].run(batches[number]) for _ in range(20)]

    with ThreadPoolExecutor(3) as pool:
        for number, answers in enumerate(pool.map(repeat, range(3))):
            for answer in answers:
                for output, same in zip(answer, expected[number], strict=True):
                    np.testing.assert_allclose(output, same, atol=1e-4)
    instances[0].close()
    assert len(instances[1].run(batches[1])[0]) == MAX_BATCH
    for one in instances:
        one.close()


@pytest.mark.parametrize("name", ENGINES)
def test_instances_may_be_opened_and_first_used_in_several_threads(name: str, store: Path) -> None:
    fresh = suited(name, MeanColour(name="opened_at_once")).write(store)
    batch = pictures(fresh, 2)

    def open_and_run(_: int) -> NDArray[np.float32]:
        instance = load(name, fresh)
        try:
            return instance.run(batch)[0]
        finally:
            instance.close()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(open_and_run, range(4), timeout=120))
    for answer in answers:
        np.testing.assert_allclose(answer, answers[0], atol=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_a_graph_fixed_to_a_batch_takes_fewer(name: str, store: Path) -> None:
    kind = suited(name, MeanColour(name="fixed", rows=3, embedding=True))
    instance = load(name, kind.write(store))
    batch = pictures(kind.write(store), 3)
    whole = instance.run(batch)
    for output, part in zip(whole, instance.run(batch[:2]), strict=True):
        assert len(part) == 2
        np.testing.assert_allclose(output[:2], part, atol=1e-4)
    with pytest.raises(BackendError, match="1 to 3"):
        instance.run(np.concatenate([batch, batch]))
    instance.close()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("max_batch", [1, 2, 5])
@pytest.mark.parametrize(
    "kind", [MeanColour(name="rgb", embedding=True), MeanColour(name="grey", channels=1)], ids=["rgb", "grey"]
)
@pytest.mark.parametrize("name", REAL)
def test_answers_are_those_of_numpy(name: str, kind: MeanColour, max_batch: int, threads: int, store: Path) -> None:
    kind = suited(name, kind)
    bundle = kind.write(store)
    instance = load(name, bundle, BackendOptions("cpu", threads, max_batch))
    for rows in range(1, max_batch + 1):
        batch = pictures(bundle, rows, seed=rows)
        for output, expected in zip(instance.run(batch), kind.expected(batch), strict=True):
            np.testing.assert_allclose(output, expected, atol=2e-3)
    assert prove(instance, bundle, max_batch).passed
    instance.close()


@pytest.mark.parametrize("rows", [None, MAX_BATCH], ids=["any batch", "fixed batch"])
@pytest.mark.parametrize("name", GRAPHS)
def test_maps_come_when_they_are_asked_for(name: str, rows: int | None, store: Path) -> None:
    kind = MeanColour(name="mapped", height=16, width=12, embedding=True, maps=True, rows=rows)
    bundle = kind.write(store)
    instance = load(name, bundle)
    for count in (1, 3, MAX_BATCH):
        batch = pictures(bundle, count, seed=count)
        logits, means = instance.run(batch)
        same_logits, maps, same_means = instance.run(batch, explain=True)
        np.testing.assert_array_equal(logits, same_logits)
        np.testing.assert_array_equal(means, same_means)
        assert (maps.shape, maps.dtype) == ((count, 4, 4), np.float32)
    instance.close()


@pytest.mark.parametrize("name", REAL_GRAPHS)
def test_maps_are_those_of_numpy_and_of_their_pictures(name: str, store: Path) -> None:
    kind = MeanColour(name="maps_of_numpy", maps=True)
    instance = load(name, kind.write(store))
    batch = np.random.default_rng(0).integers(0, 256, (MAX_BATCH, 16, 12, 3), dtype=np.uint8)
    for rows in range(1, MAX_BATCH + 1):
        _, maps = instance.run(batch[:rows].copy(), explain=True)
        np.testing.assert_allclose(maps, kind.expected(batch[:rows])[1], atol=2e-3)
    instance.close()


def test_an_explanation_that_a_bundle_lacks_changes_nothing(backend: Backend, bundle: Bundle) -> None:
    batch = pictures(bundle, 2)
    for output, same in zip(backend.run(batch), backend.run(batch, explain=True), strict=True):
        np.testing.assert_array_equal(output, same)


@pytest.mark.parametrize("name", REAL_GRAPHS)
def test_the_check_covers_the_maps(name: str, store: Path) -> None:
    draft = MeanColour(name="other_maps", maps=True).draft()
    wrong = {**draft.check.outputs, "class_activation": draft.check.outputs["class_activation"][:, ::-1].copy()}
    bundle = write_bundle(store, replace(draft, check=replace(draft.check, outputs=wrong)))
    verdict = prove(load(name, bundle), bundle, MAX_BATCH)
    assert not verdict.passed
    assert "class_activation differs" in verdict.detail


@pytest.mark.parametrize("name", REAL)
def test_an_output_that_the_graph_does_not_have_is_refused(name: str, store: Path) -> None:
    draft = suited(name, MeanColour(name="other_outputs")).draft()
    values = {**draft.check.outputs, "scores": draft.check.outputs["logits"]}
    check = replace(draft.check, outputs=values, atol=dict.fromkeys(values, 1.0))
    outputs = (*draft.outputs, OutputSpec("scores", "embedding", "none"))
    bundle = write_bundle(store, replace(draft, outputs=outputs, check=check))
    with pytest.raises(BackendLoadError, match="scores"):
        load(name, bundle)


@pytest.mark.parametrize("name", REAL_GRAPHS)
def test_bytes_that_are_no_graph_are_refused(name: str, store: Path) -> None:
    bundle = with_model(MeanColour(name="no_graph").write(store), b"this is not a graph")
    with pytest.raises(BackendLoadError, match=f"{name.split()[0]} does not take the graph"):
        load(name, bundle)


@pytest.mark.parametrize("name", REAL_GRAPHS)
def test_a_graph_that_changed_on_disk_is_refused(name: str, store: Path) -> None:
    bundle = MeanColour(name="changed").write(store)
    bundle.model_path.write_bytes(MeanColour(classes=10, height=8).graph())
    with pytest.raises(BundleError, match=r"model\.onnx"):
        load(name, bundle)


def with_model(bundle: Bundle, model: bytes) -> Bundle:
    """The same bundle with other bytes for a graph, and a manifest that says so."""
    entry = next(file for file in bundle.manifest.files if file.path == "model.onnx")
    changed = entry.model_copy(update={"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()})
    files = tuple(changed if file is entry else file for file in bundle.manifest.files)
    bundle.model_path.write_bytes(model)
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"files": files}), fingerprint="0" * 64)


SHIPPED = [(name, backend) for name in shipped_store().names() for backend in REAL]


@pytest.mark.parametrize(("model", "name"), SHIPPED)
def test_the_shipped_bundles_run(model: str, name: str) -> None:
    bundle = shipped_store().open(model)
    if name.split()[0] not in bundle.spec.runs_on:
        assert bundle.spec.runs_on
        return
    instance = load(name, bundle, BackendOptions("cpu", 1, 4))
    check = bundle.check()
    verdict = prove(instance, bundle, 4)
    assert verdict.passed, verdict.detail
    together = instance.run(check.pictures.copy())[0]
    alone = np.concatenate([instance.run(check.pictures[row : row + 1].copy())[0] for row in range(4)])
    np.testing.assert_allclose(together, alone, atol=check.atol["logits"])
    expected = check.outputs["logits"]
    best_two = np.sort(expected, axis=1)[:, -2:]
    decisive = best_two[:, 1] - best_two[:, 0] > DECISIVE_MARGIN
    np.testing.assert_array_equal(together.argmax(axis=1)[decisive], expected.argmax(axis=1)[decisive])
    instance.close()


@pytest.mark.gpu
def test_onnxruntime_on_cuda_gives_numpys_answers(store: Path) -> None:
    kind = MeanColour(name="cuda", embedding=True)
    bundle = kind.write(store)
    instance = load("onnxruntime", bundle, BackendOptions("cuda", 1, MAX_BATCH))
    batch = pictures(bundle, MAX_BATCH)
    assert instance.device == "cuda"
    for output, expected in zip(instance.run(batch), kind.expected(batch), strict=True):
        np.testing.assert_allclose(output, expected, atol=2e-3)
